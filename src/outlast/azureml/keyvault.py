"""`azureml.core.Keyvault`: secrets by name, each a file that only its owner can read.

They lie in the workspace's folder, under secrets/, with mode 0600: as safe as the account they lie
in, and no safer; they are not encrypted. Nothing of Outlast copies, shows or logs them.
"""

from __future__ import annotations

import json
import os
import re
import secrets as random
from typing import Any, Dict, List, Mapping, Optional, Sequence

from outlast.azureml.exceptions import ServiceException, UserErrorException

FOLDER = "secrets"
NOT_PROVIDED = "application/NotProvided"
_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")


class Keyvault:
    """The secrets of a workspace on this machine."""

    def __init__(self, workspace: Any, **kwargs: Any) -> None:
        self.workspace = workspace

    def set_secret(self, name: str, value: str, content_type: Any = NOT_PROVIDED) -> None:
        """Keep a secret, in the place of one of this name. Raises UserErrorException for a name
        that isn't 1 to 127 letters, digits and hyphens."""
        told = json.dumps({"value": str(value), "content_type": str(content_type)})
        folder = self._folder()
        os.makedirs(folder, mode=0o700, exist_ok=True)
        making = os.path.join(folder, f".{random.token_hex(8)}")
        fd = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(fd, "w", encoding="utf-8") as file:
                file.write(told)
                file.flush()
                os.fsync(file.fileno())
            os.replace(making, _path(folder, name))
        except BaseException:
            os.unlink(making)
            raise

    def set_secrets(self, secrets_batch: Mapping[str, str]) -> None:
        """Keep several, by name."""
        for name in secrets_batch:
            _check(name)
        for name, value in secrets_batch.items():
            self.set_secret(name, value)

    def get_secret(self, name: str) -> str:
        """Its value. Raises ServiceException without one of this name."""
        return str(self._found(name)["value"])

    def get_secrets(self, secrets: Sequence[str]) -> Dict[str, Optional[str]]:
        """The values of these names, None where there is none."""
        return {name: value_in(self._folder(), name) for name in secrets}

    def get_secret_content_type(self, name: str) -> str:
        """What kind of value it is, as was said when it was set."""
        return str(self._found(name)["content_type"])

    def list_secrets(self) -> List[Dict[str, str]]:
        """[{"name": …}] of each, without values."""
        try:
            names = os.listdir(self._folder())
        except FileNotFoundError:
            return []
        return [{"name": name} for name in sorted(names) if _NAME.fullmatch(name)]

    def delete_secret(self, name: str) -> None:
        """Forget it. Raises ServiceException without one of this name."""
        try:
            os.unlink(_path(self._folder(), name))
        except FileNotFoundError:
            raise _missing(name) from None

    def delete_secrets(self, secrets: Sequence[str]) -> None:
        """Forget several."""
        for name in secrets:
            self.delete_secret(name)

    def _folder(self) -> str:
        client = self.workspace._client()
        if client.url:
            raise UserErrorException(
                "Keyvault: secrets stay on the machine of their workspace, and this one is at "
                f"{client.url}. Set environment variables: run.get_secret(name) reads them"
            )
        return os.path.join(str(client.home), FOLDER)

    def _found(self, name: str) -> Dict[str, Any]:
        found = _read(self._folder(), name)
        if found is None:
            raise _missing(name)
        return found


def value_in(folder: str, name: str) -> Optional[str]:
    """The value of the secret in this folder, None without one."""
    found = _read(folder, name)
    return None if found is None else str(found["value"])


def _read(folder: str, name: str) -> Optional[Dict[str, Any]]:
    try:
        with open(_path(folder, name), encoding="utf-8") as file:
            found: Dict[str, Any] = json.load(file)
            return found
    except FileNotFoundError:
        return None


def _path(folder: str, name: str) -> str:
    _check(name)
    return os.path.join(folder, name)


def _check(name: str) -> None:
    if not _NAME.fullmatch(str(name)):
        raise UserErrorException(f"secret {name!r}: use 1 to 127 letters, digits and hyphens")


def _missing(name: str) -> ServiceException:
    return ServiceException(f"there is no secret {name!r} (SecretNotFound)")
