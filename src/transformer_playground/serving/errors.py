"""Errors of the server in OpenAI's form."""

from typing import Any


class ApiError(Exception):
    """An error that a client gets as JSON.

    Args:
        status: HTTP status.
        message: A sentence for the user of the client.
        param: Name of the field that is wrong, if any.
        code: Short name of the fault for programs.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    def document(self) -> dict[str, Any]:
        """The JSON document of the answer."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "message": self.message,
                "type": "authentication_error" if self.status == 401 else kind,
                "param": self.param,
                "code": self.code,
            }
        }
