"""Ready `log` functions of `Trainer`, for trackers of experiments."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import time
from typing import Any

from gradcon_ext.training.history import Log

_NOT_OF_MLFLOW = re.compile(r"[^\w\-./: ]")


@contextmanager
def tensorboard(folder: str | os.PathLike[str]) -> Iterator[Log]:
    """Give a log that writes event files for TensorBoard.

    Epochs that an interrupted run told of and a resumed one repeats are shown once. It needs
    `pip install 'gradcon_ext[tensorboard]'`.

    Args:
        folder: of the event files; made if need be.

    Raises:
        ImportError: there is no TensorBoard.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer: SummaryWriter | None = None

    def log(metrics: Mapping[str, float], step: int) -> None:
        nonlocal writer
        if writer is None:
            writer = SummaryWriter(os.fspath(folder), purge_step=step)
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    try:
        yield log
    finally:
        if writer is not None:
            writer.close()


@contextmanager
def mlflow(
    experiment: str, parameters: Mapping[str, Any] | None = None, name: str | None = None, uri: str | None = None
) -> Iterator[Log]:
    """Give a log that writes to a new run of MLflow, which is finished, failed or killed as the block ends.

    It needs `pip install 'gradcon_ext[mlflow]'`. The run is not MLflow's active one, so others can be under way.

    Args:
        experiment: its name; made if need be.
        parameters: of the run, such as the trainer's arguments.
        name: of the run; MLflow thinks one up by default.
        uri: of the tracking server or database; MLflow's own setting (MLFLOW_TRACKING_URI) by default.

    Raises:
        ImportError: there is no MLflow.
        mlflow.exceptions.MlflowException: the server is not there, or refuses.
    """
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    known = client.get_experiment_by_name(experiment)
    identifier = client.create_experiment(experiment) if known is None else known.experiment_id
    run = client.create_run(identifier, run_name=name).info.run_id

    def log(metrics: Mapping[str, float], step: int) -> None:
        now = int(1000 * time())
        client.log_batch(run, [Metric(_mlflow_name(each), value, now, step) for each, value in metrics.items()])

    status = "FAILED"
    try:
        client.log_batch(run, params=[Param(each, str(value)) for each, value in (parameters or {}).items()])
        yield log
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(run, status)


def _mlflow_name(name: str) -> str:
    return _NOT_OF_MLFLOW.sub("_", name)
