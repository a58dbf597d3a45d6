"""Image classification by ResNet-152."""
