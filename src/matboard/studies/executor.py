"""Who works off a study's units and who is shown how it goes, as its configuration says."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from matboard.errors import ConfigError


class ExecutorConfig(BaseModel):
    """Who works off a study's units; ``executor: ray`` stands for ``executor: {name: ray}``.

    Attributes:
        name: ``here``, this process and whoever joins by ``matboard work``; or ``ray``, workers of
            a Ray cluster, at the address that Ray's own environment tells (RAY_ADDRESS).
        workers: so many of the cluster at most; where None, one a fit.
        cpus: that a worker asks the cluster for.
        gpus: that a worker asks for, 0.5 where two share one; where None, one if the cluster has
            any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["here", "ray"] = "here"
    workers: int | None = Field(None, gt=0, le=10**6)
    cpus: float = Field(1.0, ge=0, le=10**4)
    gpus: float | None = Field(None, ge=0, le=10**4)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, raw: Any) -> Any:
        return {"name": raw} if isinstance(raw, str) else raw

    @model_validator(mode="after")
    def _consistent(self) -> ExecutorConfig:
        own = self.model_fields_set - {"name"}
        if self.name == "here" and own:
            raise ValueError(
                f"{', '.join(sorted(own))} are settings of ray; write name: ray beside them"
            )
        return self

    def check(self, processes: int) -> None:
        """Refuse what cannot go together. Raises ConfigError."""
        if self.name == "ray" and processes > 1:
            raise ConfigError(
                f"executor is ray, which places workers itself, but torchrun started {processes}"
                " processes. Start one, or leave executor out."
            )


class Executed(BaseModel):
    """What units are made of, who works them off, and who is shown how it goes.

    Attributes:
        executor: decides nothing of what comes out, and is no part of what a run is made from.
        tracking: where losses, validation scores and the finished table are shown beside the run
            folder: tensorboard (``tensorboard --logdir RUN/tensorboard``), wandb, or both. Like
            ``executor`` no part of what a run is made from: it may be added to a run, or left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    executor: ExecutorConfig = ExecutorConfig()
    tracking: list[Literal["tensorboard", "wandb"]] = []

    @property
    def asked(self) -> dict[str, Any]:
        """What decides the results, as JSON values."""
        return self.model_dump(mode="json", exclude={"executor", "tracking"})
