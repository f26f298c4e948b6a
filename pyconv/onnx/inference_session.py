"""`InferenceSession`: what callers of ONNX Runtime's class of that name pass, so that one import line changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyconv.onnx.model import read
from pyconv.onnx.session import Session


class InferenceSession(Session):
    """A session that takes ONNX Runtime's arguments.

    Parameters
    ----------
    path_or_bytes : path, bytes or onnx.ModelProto
    sess_options : object, optional
        Its `intra_op_num_threads` is obeyed if it is positive; all else has no meaning here.
    providers, provider_options : optional
        Taken and not looked at: models run on the CPU.
    """

    def __init__(
        self,
        path_or_bytes: Any,
        sess_options: Any = None,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[Any] | None = None,
        **kwargs: Any,
    ):
        threads = getattr(sess_options, "intra_op_num_threads", 0)
        super().__init__(read(path_or_bytes), threads if threads > 0 else None)

    def run(
        self, output_names: Any, input_feed: Mapping[str, Any], run_options: Any = None, *, out: Any = None
    ) -> list[Any]:
        """As `Session.run`; an empty list of names stands for all outputs."""
        return super().run(output_names or None, input_feed, out=out)

    def get_providers(self) -> list[str]:
        """What runs the model, in ONNX Runtime's words."""
        return ["CPUExecutionProvider"]
