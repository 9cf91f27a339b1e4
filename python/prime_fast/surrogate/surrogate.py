"""A trained ensemble: predictions for people, scores for the search, and its file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.logs.writing import atomic_file
from prime_fast.surrogate.checkpoint import named_arrays
from prime_fast.surrogate.constraints import PRODUCTS, LearnedConstraint, violations
from prime_fast.surrogate.contexts import ContextScale
from prime_fast.surrogate.data import Scale, check_ranks
from prime_fast.surrogate.features import Encoder
from prime_fast.surrogate.networks import FEASIBILITY, METRICS, OBJECTIVE, apply_ensemble, build_ensemble
from prime_fast.surrogate.settings import TrainingSettings
from prime_fast.surrogate.unlogged import expected_constraints

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int
    from numpy.typing import NDArray

    from prime_fast.space import DesignSpace

Context: TypeAlias = "str | Sequence[float] | NDArray[np.float64]"

FORMAT = "prime-fast-surrogate/3"
BLOCK = 1024
"""Designs of a compiled call: batches are padded to it, so that there is one compilation."""
ATTENTION_BLOCK = 128
"""Designs that a transformer takes at a time, so that its activations stay in the processor's cache."""


class Prediction(NamedTuple):
    """What the ensemble says of n designs."""

    objective: NDArray[np.float64]
    """Shape (n,), in the log's unit: the members' geometric mean."""
    deviation: NDArray[np.float64]
    """Shape (n,): standard deviation over the members of the standardised logarithm of the objective."""
    feasible_probability: NDArray[np.float64]
    """Shape (n,). Where a learned constraint is broken, at most that of Laplace's rule of succession. Else
    that of a design drawn with even chances from the feasible designs logged and from the infeasible ones
    that keep the constraints; 1.0 if there were none of the latter."""
    metrics: dict[str, NDArray[np.float64]]
    """Learned metrics by name, each of shape (n,), in the log's unit."""


@eqx.filter_jit
def ensemble_outputs(
    networks: Any,
    encoder: Encoder,
    ranks: Int[NDArray[np.int32], "n parameters"],
    context: Float[NDArray[np.float32], " features"],
    chunk: int,
) -> Float[Array, "members n outputs"]:
    """Return every member's outputs, computed ``chunk`` designs at a time; n is a multiple of it."""
    if chunk == ranks.shape[0]:
        return apply_ensemble(networks, encoder, jnp.asarray(ranks), jnp.asarray(context))
    chunks = jnp.asarray(ranks).reshape(-1, chunk, ranks.shape[1])
    outputs = jax.lax.map(lambda part: apply_ensemble(networks, encoder, part, jnp.asarray(context)), chunks)
    return jnp.moveaxis(outputs, 0, 1).reshape(outputs.shape[1], ranks.shape[0], outputs.shape[3])


def padded_outputs(
    networks: Any,
    encoder: Encoder,
    ranks: NDArray[np.integer],
    context: NDArray[np.float32],
    architecture: str,
) -> NDArray[np.float64]:
    """Return every member's outputs for any number of designs: shape (members, n, outputs)."""
    chunk = BLOCK if architecture == "mlp" else ATTENTION_BLOCK
    parts = []
    for start in range(0, max(len(ranks), 1), BLOCK):
        part = ranks[start : start + BLOCK]
        # A buffer of its own: JAX may read the memory of an argument after the call has returned.
        block = np.zeros((BLOCK, encoder.parameters), np.int32)
        block[: len(part)] = part
        outputs = np.asarray(ensemble_outputs(networks, encoder, block, context, chunk), np.float64)
        parts.append(outputs[:, : len(part)])
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True, eq=False)
class Surrogate:
    """An ensemble trained on one log, with all that is needed to use it again.

    Attributes
    ----------
    space : DesignSpace
    networks : Network
        The members, stacked along a leading axis of every array.
    objective : Scale
    metrics : mapping of name to Scale
        The learned metrics, in the order of the networks' outputs.
    has_gate : bool
        Whether networks learned what is feasible, beside the constraints.
    settings : TrainingSettings
    seed : int
    log_sha256 : str
        `TrainingData.sha256` of the log.
    selection : mapping
        The chosen alpha, beta and number of steps, and how they were chosen; JSON-able.
    applications : tuple of str
        Those of the log, where it had contexts.
    contexts : ndarray of shape (applications, features), float64, or None
        Their features.
    context_scale : ContextScale
    constraints : tuple of tuple of LearnedConstraint
        Those that the log of each application showed. What they lead to expect of an application without a
        log, `constraints_of` and `varying_limit` tell.
    """

    space: DesignSpace
    networks: Any
    objective: Scale
    metrics: Mapping[str, Scale]
    has_gate: bool
    settings: TrainingSettings
    seed: int
    log_sha256: str
    selection: Mapping[str, Any]
    applications: tuple[str, ...] = ()
    contexts: NDArray[np.float64] | None = None
    context_scale: ContextScale = field(default_factory=ContextScale)
    constraints: tuple[tuple[LearnedConstraint, ...], ...] = ((),)
    encoder: Encoder = field(init=False)

    def __post_init__(self) -> None:
        """Derive the encoding from the space."""
        object.__setattr__(self, "encoder", Encoder.of(self.space))

    def _outputs(self, ranks: NDArray[np.integer], context: Context | None) -> NDArray[np.float64]:
        check_ranks(self.space, ranks)
        seen = self._context(context)
        return padded_outputs(self.networks, self.encoder, ranks, seen, self.settings.architecture)

    def _context(self, context: Context | None) -> NDArray[np.float32]:
        if context is None:
            if self.contexts is not None and len(self.contexts) > 1:
                raise ConfigurationError(
                    f"the surrogate knows {', '.join(self.applications)}; name one, or give a context"
                )
            return self.context_scale.standardised(() if self.contexts is None else self.contexts[0])
        if isinstance(context, str):
            if context not in self.applications or self.contexts is None:
                known = ", ".join(self.applications) or "none by name"
                raise ConfigurationError(
                    f"the surrogate was not trained on {context!r} but on {known}; give a context of features"
                )
            return self.context_scale.standardised(self.contexts[self.applications.index(context)])
        return self.context_scale.standardised(context)

    def constraints_of(self, context: Context | None = None) -> tuple[LearnedConstraint, ...]:
        """Return what was learned for an application, given as for `predict`; else what is to be expected.

        Where it had no log, what the logs of the others lead to expect; see `unlogged`.
        """
        logged = self._logged(context)
        return expected_constraints(self.constraints).constraints if logged is None else logged

    def varying_limit(self, context: Context | None = None) -> LearnedConstraint | None:
        """Return the limit in which logged applications differ most, for one that had no log; else None."""
        return expected_constraints(self.constraints).varying if self._logged(context) is None else None

    def _logged(self, context: Context | None) -> tuple[LearnedConstraint, ...] | None:
        """Return what was learned for an application; None where it had no log."""
        if self.contexts is None or context is None:
            return self.constraints[0]
        if isinstance(context, str):
            self._context(context)
            return self.constraints[self.applications.index(context)]
        # The features themselves: standardised ones of an application unlike all logged may be equal.
        for features, constraints in zip(self.contexts, self.constraints, strict=True):
            if np.array_equal(features, np.asarray(context, np.float64)):
                return constraints
        return None

    def _probability(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.has_gate:
            return np.ones(outputs.shape[1])
        # The logistic function, in the form that cannot overflow.
        members: NDArray[np.float64] = 0.5 + 0.5 * np.tanh(0.5 * outputs[:, :, FEASIBILITY])
        return np.asarray(members.mean(axis=0))

    def _metrics(self, outputs: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {
            name: scale.original(outputs[:, :, METRICS + place].mean(axis=0))
            for place, (name, scale) in enumerate(self.metrics.items())
        }

    def predict(self, ranks: NDArray[np.integer], context: Context | None = None) -> Prediction:
        """Predict designs.

        Parameters
        ----------
        ranks : ndarray of shape (n, parameters), integer
        context : str or array_like of shape (features,), optional
            An application of the log by name, or the features of another one; needed unless the log had but
            one.

        Raises
        ------
        ConfigurationError
            If the application is not among those of the log, or is not given.
        DataError
            If ranks lie outside the space, or the context is of another length.
        """
        outputs = self._outputs(ranks, context)
        scores = outputs[:, :, OBJECTIVE]
        probability = self._probability(outputs)
        for constraint in self.constraints_of(context):
            broken = constraint.excess(self.space, ranks) > 0.0
            # Laplace's rule of succession: of n designs beyond the bound none was feasible. Of one that is
            # expected without a log, n is 0.
            least = np.minimum(probability, 1.0 / (constraint.infeasible + 2.0))
            probability = np.where(broken, least, probability)
        return Prediction(
            self.objective.original(scores.mean(axis=0)),
            scores.std(axis=0),
            probability,
            self._metrics(outputs),
        )

    def search_score(
        self,
        ranks: NDArray[np.integer],
        context: Context | None = None,
        limits: Mapping[str, float] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score designs for the search, lower being better.

        Parameters
        ----------
        ranks : ndarray of shape (n, parameters), integer
            May be reused as soon as the call has returned.
        context : str or array_like of shape (features,), optional
            As for `predict`.
        limits : mapping of learned metric to largest value, optional

        Returns
        -------
        scores : ndarray of shape (n,), float64
            Logarithm of the predicted objective, in the log's unit: mean over the members, plus
            ``settings.pessimism`` deviations.
        violations : ndarray of shape (n,), float64
            How far the networks' probability of being feasible lies below ``settings.gate``, plus how many
            learned constraints are broken and by how much (see `violations`), plus by what share a learned
            metric exceeds its limit; 0.0 where nothing is the case.
        """
        outputs = self._outputs(ranks, context)
        members = outputs[:, :, OBJECTIVE]
        scores = members.mean(axis=0) + self.settings.pessimism * members.std(axis=0)
        if unknown := [name for name in limits or () if name not in self.metrics]:
            raise ConfigurationError(
                f"limit {unknown[0]}: the surrogate learned no such metric; "
                f"it knows {', '.join(self.metrics) or 'none'}"
            )
        broken = violations(self.constraints_of(context), self.space, ranks)
        broken += np.maximum(0.0, self.settings.gate - self._probability(outputs))
        learned = self._metrics(outputs)
        for name, limit in (limits or {}).items():
            broken += np.maximum(0.0, learned[name] / limit - 1.0)
        return scores * self.objective.deviation + self.objective.mean, broken

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the surrogate as safetensors, whole or not at all; ConfigurationError if that fails."""
        header = {
            "format": FORMAT,
            "space": self.space.to_toml(),
            "objective": asdict(self.objective),
            "metrics": {name: asdict(scale) for name, scale in self.metrics.items()},
            "has_gate": self.has_gate,
            "applications": list(self.applications),
            "contexts": None if self.contexts is None else self.contexts.tolist(),
            "context_scale": asdict(self.context_scale),
            "constraints": [[one.to_dict() for one in several] for several in self.constraints],
            "settings": self.settings.to_dict(),
            "members": _members(self.networks),
            "seed": self.seed,
            "log_sha256": self.log_sha256,
            "selection": dict(self.selection),
            "versions": {name: version(name) for name in ("jax", "equinox", "optax", "numpy", "safetensors")},
        }
        tensors = {name: np.ascontiguousarray(array) for name, array in named_arrays(self.networks).items()}
        content = safetensors.numpy.save(tensors, {"prime_fast": json.dumps(header, allow_nan=False)})
        with atomic_file(path) as file:
            file.write(content)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Surrogate:
        """Read a surrogate that `save` wrote.

        Raises
        ------
        DataError
            If the file is missing, damaged, of another version or not a surrogate; nothing in it is executed.
        """
        from prime_fast.space import DesignSpace

        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                text = (file.metadata() or {}).get("prime_fast")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        except (OSError, safetensors.SafetensorError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path} is not a readable surrogate: {error}") from None
        try:
            header = json.loads(text) if text is not None else {}
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                found = header.get("format") if isinstance(header, dict) else None
                raise DataError(f"its format is {found!r}; this version reads {FORMAT!r}")
            settings = TrainingSettings.from_dict(header["settings"])
            space = DesignSpace.from_toml(header["space"], origin=f"the space in {path}")
            metrics = {str(name): _scale(scale) for name, scale in header["metrics"].items()}
            applications = tuple(str(name) for name in header["applications"])
            scale, contexts = _context_scale(header["context_scale"]), None
            if header["contexts"] is not None:
                contexts = np.array(header["contexts"], np.float64)
                scale.standardised(contexts)
                if contexts.shape != (max(len(applications), 1), scale.features):
                    raise DataError(f"{len(applications)} applications have contexts of {contexts.shape}")
            constraints = tuple(
                tuple(LearnedConstraint.from_dict(one, space) for one in several)
                for several in header["constraints"]
            )
            if len(constraints) != max(len(applications), 1) or max(map(len, constraints)) > 2 * PRODUCTS:
                raise DataError(f"it has constraints of {len(constraints)} applications")
            outputs = METRICS + len(metrics)
            members = _integer(header["members"])
            networks = _restored(Encoder.of(space), scale.features, outputs, settings, members, tensors)
            return cls(
                space=space,
                networks=networks,
                objective=_scale(header["objective"]),
                metrics=metrics,
                has_gate=header["has_gate"] is True,
                settings=settings,
                seed=_integer(header["seed"]),
                log_sha256=str(header["log_sha256"]),
                selection=dict(header["selection"]),
                applications=applications,
                contexts=contexts,
                context_scale=scale,
                constraints=constraints,
            )
        except KeyError as error:
            raise DataError(f"{path} is not a usable surrogate: its header lacks {error}") from None
        except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise DataError(f"{path} is not a usable surrogate: {error}") from None


def _members(networks: Any) -> int:
    return int(jax.tree_util.tree_leaves(eqx.filter(networks, eqx.is_array))[0].shape[0])


def _scale(values: Mapping[str, Any]) -> Scale:
    scale = Scale(values["logarithmic"] is True, float(values["mean"]), float(values["deviation"]))
    if not (np.isfinite(scale.mean) and np.isfinite(scale.deviation) and scale.deviation > 0.0):
        raise DataError(f"normalisation {dict(values)} is not usable")
    return scale


def _context_scale(values: Mapping[str, Any]) -> ContextScale:
    mean, deviation = (tuple(float(value) for value in values[name]) for name in ("mean", "deviation"))
    if (
        len(mean) != len(deviation)
        or not np.isfinite([*mean, *deviation]).all()
        or min(deviation, default=0) < 0
    ):
        raise DataError("the scale of its contexts is not usable")
    return ContextScale(mean, deviation)


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{value!r} stands where an integer belongs")
    return value


def _restored(
    encoder: Encoder,
    features: int,
    outputs: int,
    settings: TrainingSettings,
    members: int,
    tensors: Mapping[str, NDArray[Any]],
) -> Any:
    """Return an ensemble of the given shape with the tensors' values; DataError unless they fit exactly."""
    # Shapes only: a file that promises a giant network must not get memory for it.
    template = eqx.filter_eval_shape(
        build_ensemble,
        encoder,
        features,
        outputs,
        settings,
        jax.eval_shape(lambda: jax.random.split(jax.random.key(0), members)),
    )
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    expected = {
        jax.tree_util.keystr(place): leaf for place, leaf in leaves if isinstance(leaf, jax.ShapeDtypeStruct)
    }
    if expected.keys() != tensors.keys():
        odd = sorted(expected.keys() ^ tensors.keys())[0]
        raise DataError(f"tensor {odd!r} is missing or unknown")
    for name, leaf in expected.items():
        if tensors[name].shape != leaf.shape or tensors[name].dtype != np.float32:
            found = f"{tensors[name].dtype} of shape {tensors[name].shape}"
            raise DataError(f"tensor {name!r} is {found}; it must be float32 of shape {leaf.shape}")
        if not np.isfinite(tensors[name]).all():
            raise DataError(f"tensor {name!r} is not finite")
    values = [
        jnp.asarray(tensors[jax.tree_util.keystr(place)]) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf
        for place, leaf in leaves
    ]
    return jax.tree_util.tree_unflatten(structure, values)
