"""The key that opens the nodes of a lab, made for it and gone with it."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from cluster.provision.trust import write_private

KEY = "id_ed25519"


def login_key(folder: Path) -> tuple[Path, str]:
    """The private key in `folder`, made if there is none, and its public half as `authorized_keys` has it."""
    path = folder / KEY
    try:
        private = load_ssh_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):  # ValueError: half a key, from a start that was killed
        private = Ed25519PrivateKey.generate()
        text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        write_private(path, text.decode())
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return path, public.decode()
