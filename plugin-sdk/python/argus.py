"""What Argus plugins in Python use: errors, logging, time, settings, memory, HTTP.

Every call gets a fresh instance: nothing survives in memory from one call to the next.
"""

import json as _json
import traceback as _traceback
from dataclasses import dataclass as _dataclass
from typing import Any, Callable, Optional

from componentize_py_types import Err as _Err
from wit_world.imports import clock as _clock
from wit_world.imports import config as _config
from wit_world.imports import log as _log
from wit_world.imports import types as _types

try:
    from wit_world.imports import http as _http
except ImportError:  # Explainers have no HTTP.
    _http = None
from wit_world.imports import state as _state


class ArgusError(Exception):
    """A failure: a stable word for programs, a sentence for people, and whether trying again later may help."""

    def __init__(self, code: str, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


def log(message: str, level: str = "info") -> None:
    """Writes a line to the daemon's log; the level is `error`, `warn`, `info` or `debug`."""
    _log.write(_log.Level[level.upper()], str(message))


def now_ms() -> int:
    """Milliseconds since the Unix epoch, UTC. Python's own clock stands still in a plugin."""
    return _clock.now_ms()


def from_pairs(pairs: list) -> dict[str, str]:
    """A list of names and values as a dictionary."""
    return {pair.name: pair.value for pair in reversed(pairs)}


def to_pairs(values: Optional[dict[str, Any]]) -> list:
    """A dictionary as a list of names and values."""
    return [_types.Pair(name, str(value)) for name, value in (values or {}).items()]


def call_host(function: Callable, *arguments: Any) -> Any:
    """Calls a function of the host; its error becomes an `ArgusError`."""
    try:
        return function(*arguments)
    except _Err as error:
        raise ArgusError(error.value.code, error.value.message, error.value.retryable) from None


class state:
    """What a plugin remembers from one call to the next: small texts under keys, kept on disk by the host."""

    @staticmethod
    def get(key: str) -> Optional[str]:
        value = _state.get(key)
        return None if value is None else value.decode()

    @staticmethod
    def set(key: str, value: str, keep_secs: Optional[int] = None) -> None:
        call_host(_state.set, key, value.encode(), keep_secs)

    @staticmethod
    def compare_and_set(key: str, expected: Optional[str], value: str, keep_secs: Optional[int] = None) -> bool:
        """Sets the text only if it is still `expected` (None: only if there is none), and says whether it was."""
        before = None if expected is None else expected.encode()
        return call_host(_state.compare_and_set, key, before, value.encode(), keep_secs)

    @staticmethod
    def remove(key: str) -> None:
        call_host(_state.remove, key)


@_dataclass
class Answer:
    """A complete answer of a target."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        try:
            return _json.loads(self.body)
        except ValueError:
            message = f"the target answered {self.status} with a body that is no JSON"
            raise ArgusError("bad_json", message) from None

    def require_success(self) -> "Answer":
        """The answer if its status is 2xx, else an error; 408, 425, 429 and 5xx ask the host to try again later."""
        if self.ok:
            return self
        beginning = self.text().strip()[:300]
        message = f"the target answered {self.status}" + (f": {beginning}" if beginning else "")
        retryable = self.status in (408, 425, 429) or 500 <= self.status < 600
        raise ArgusError(f"http_{self.status}", message, retryable)


def request(
    method: str,
    target: str,
    path: str,
    *,
    headers: Optional[dict[str, str]] = None,
    json: Any = None,
    body: bytes = b"",
    timeout_ms: Optional[int] = None,
) -> Answer:
    """Sends a request to a target that the operator named. Write `{{secret:NAME}}` where a secret belongs."""
    all_headers = dict(headers or {})
    if json is not None:
        all_headers.setdefault("content-type", "application/json")
        body = _json.dumps(json).encode()
    outgoing = _http.Request(target, method, path, to_pairs(all_headers), body, timeout_ms)
    answer = call_host(_http.send, outgoing)
    return Answer(answer.status, from_pairs(answer.headers), answer.body)


def post(target: str, path: str, **options: Any) -> Answer:
    """A POST; options as for `request`."""
    return request("POST", target, path, **options)


def get(target: str, path: str, **options: Any) -> Answer:
    """A GET; options as for `request`."""
    return request("GET", target, path, **options)


def exported(call: Callable, *arguments: Any) -> Any:
    """Runs an exported function: errors as the host wants them, anything else told as a panic."""
    try:
        return call(_json.loads(_config.json()), *arguments)
    except ArgusError as error:
        raise _Err(_types.Error(error.code, error.message, error.retryable)) from None
    except Exception:
        _log.panicked(_traceback.format_exc().strip())
        raise
