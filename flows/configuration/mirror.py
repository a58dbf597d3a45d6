"""Sections of settings made from the settings classes of the science, so that no field is written twice."""

from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model, model_validator

from metis.errors import InputError


class Section(BaseModel):
    """A part of the settings: no unknown key, nothing changed after composing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Mirror(Section):
    """A section with the fields, defaults and bounds of a settings class; `made()` is one of these."""

    @classmethod
    def mirrored(cls) -> type:
        """The settings class."""
        raise TypeError(f"{cls.__name__} mirrors nothing")

    def made(self) -> Any:
        """The settings as the science takes them."""
        parts = {
            name: part.made() if isinstance(part := getattr(self, name), Mirror) else part
            for name in type(self).model_fields
        }
        return self.mirrored()(**parts)

    @model_validator(mode="after")
    def _within_bounds(self) -> "Mirror":
        try:
            self.made()  # the class knows its own bounds and names what is out of them
        except InputError as error:
            raise ValueError(str(error)) from None  # so that pydantic goes on and the plainest error is told
        return self


def mirror(settings: type) -> type[Mirror]:
    """A section with the fields of the dataclass `settings`, those that are dataclasses mirrored too."""
    hints = get_type_hints(settings)
    defined: dict[str, Any] = {}
    for field in fields(settings):
        default: Any = field.default_factory() if field.default_factory is not MISSING else field.default
        kind = hints[field.name]
        if is_dataclass(kind) and isinstance(kind, type):
            kind = mirror(kind)
            default = kind(**{f.name: getattr(default, f.name) for f in fields(default)})
        defined[field.name] = (kind, default)

    class _Mirror(Mirror):
        @classmethod
        def mirrored(cls) -> type:
            return settings

    made: type[Mirror] = create_model(f"{settings.__name__}Section", __base__=_Mirror, **defined)
    return made
