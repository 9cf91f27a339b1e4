"""Adapters, each with the real library: Optuna, pymoo, scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.logs import Log, read_log, write_table
from prime_fast.space import DesignSpace

SPACE = DesignSpace.from_toml(
    """
    name = "toy"
    [[parameter]]
    name = "units"
    values = [1, 2, 4, 8, 16, 32]
    [[parameter]]
    name = "clock_ghz"
    values = [0.5, 1.0, 1.5]
    [[parameter]]
    name = "order"
    kind = "categorical"
    values = ["rows", "columns"]
    [[parameter]]
    name = "cached"
    values = [false, true]
    [[metric]]
    name = "area_mm2"
    unit = "mm2"
    expression = "units * 2"
    [[constraint]]
    name = "small clocks are slow"
    expression = "units <= 16 or clock_ghz >= 1.0"
    """
)
EVERY = SPACE.ranks(np.arange(SPACE.size, dtype=np.uint64))


def times(ranks: Any) -> np.ndarray:
    """Return latencies; columns on 16 units or more are infeasible."""
    frame = SPACE.frame(np.ascontiguousarray(ranks, SPACE.rank_dtype))
    units, order = frame["units"].to_numpy(), frame["order"].to_numpy()
    value = 100.0 / units / frame["clock_ghz"].to_numpy() + np.where(order == "rows", 3.0, 0.0)
    return np.where((order == "columns") & (units >= 16), np.nan, value)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    allowed = EVERY[SPACE.check(EVERY) < 0]
    values = times(allowed)
    frame = SPACE.frame(allowed).with_columns(
        time_ms=pl.Series(values, nan_to_null=True),
        power_w=pl.Series(np.arange(float(len(allowed)))),
        feasible=pl.Series(~np.isnan(values)),
        reason=pl.Series([None if good else "too wide" for good in ~np.isnan(values)]),
    )
    write_table(frame, tmp_path / "log.parquet")
    return read_log(tmp_path / "log.parquet", SPACE, "time_ms")


class TestOptuna:
    @pytest.fixture
    def optuna(self) -> Any:
        optuna = pytest.importorskip("optuna")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return optuna

    def test_a_log_becomes_trials_and_is_the_same_log_afterwards(
        self, optuna: Any, log: Log, tmp_path: Path
    ) -> None:
        from prime_fast.adapters.optuna import add_log, frame_of_study

        study = optuna.create_study()
        assert add_log(study, log) == len(log)
        assert study.best_value == np.nanmin(log.values)
        frame = frame_of_study(study, SPACE, "time_ms")
        write_table(frame, tmp_path / "again.parquet")
        again = read_log(tmp_path / "again.parquet", SPACE, "time_ms")
        np.testing.assert_array_equal(again.ranks, log.ranks)
        np.testing.assert_array_equal(again.values, log.values)
        np.testing.assert_array_equal(again.feasible, log.feasible)
        assert again.frame["power_w"].to_list() == log.frame["power_w"].to_list()
        assert set(frame["reason"].drop_nulls()) == {"trial fail"}

    def test_a_study_of_any_sampler_is_a_log(self, optuna: Any) -> None:
        from prime_fast.adapters.optuna import distributions, frame_of_study

        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=5))
        kinds = distributions(SPACE)
        for number in range(20):
            trial = study.ask(kinds)
            value = 1.0 + trial.params["units"]
            trial.set_user_attr("power_w", 2.0 * number)
            trial.set_user_attr("note", "text")
            if number == 3:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                if number == 4:
                    trial.set_constraint("heat", 0.5)
                study.tell(trial, value)
        study.ask(kinds)  # not told: under way
        frame = frame_of_study(study, SPACE, "time_ms")
        assert frame.height == 20
        good = frame.filter("feasible")
        assert good["time_ms"].to_list() == [1.0 + units for units in good["units"].to_list()]
        assert frame["reason"][3] == "trial fail"
        assert frame["reason"][4] == "constraint heat is 0.5"
        assert frame["time_ms"].null_count() == 2
        assert frame["power_w"].to_list() == [2.0 * number for number in range(20)]
        assert "note" not in frame.columns

    def test_proposals_are_the_next_trials(self, optuna: Any) -> None:
        from prime_fast.adapters.optuna import distributions, enqueue

        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        proposals = SPACE.frame(EVERY[[3, 50, 7]]).with_columns(proposal=pl.Series([1, 2, 3]))
        assert enqueue(study, SPACE, proposals) == 3
        assert enqueue(study, SPACE, EVERY[[3, 60]]) == 1
        asked = [study.ask(distributions(SPACE)).params for _ in range(4)]
        assert asked == SPACE.frame(EVERY[[3, 50, 7, 60]]).to_dicts()

    def test_a_study_that_is_no_log_is_one_clear_error(self, optuna: Any) -> None:
        from prime_fast.adapters.optuna import enqueue, frame_of_study

        with pytest.raises(ConfigurationError, match="2 objectives"):
            frame_of_study(optuna.create_study(directions=["minimize"] * 2), SPACE, "time_ms")
        with pytest.raises(ConfigurationError, match="maximises"):
            frame_of_study(optuna.create_study(direction="maximize"), SPACE, "time_ms")
        study = optuna.create_study()
        with pytest.raises(DataError, match="none of 0 finished trials has the parameters units"):
            frame_of_study(study, SPACE, "time_ms")
        study.optimize(
            lambda trial: (
                sum((trial.suggest_int("units", 3, 3), trial.suggest_float("clock_ghz", 1.0, 1.0)))
                + (trial.suggest_categorical("order", ["rows"]) == "rows")
                + trial.suggest_categorical("cached", [False])
            ),
            n_trials=1,
        )
        with pytest.raises(DataError, match="`units` is 3; allowed: 1, 2, 4"):
            frame_of_study(study, SPACE, "time_ms")
        with pytest.raises(DataError, match="no column `clock_ghz`"):
            enqueue(study, SPACE, pl.DataFrame({"units": [1]}))


class TestPymoo:
    @pytest.fixture(autouse=True)
    def pymoo(self) -> Any:
        return pytest.importorskip("pymoo")

    def test_a_search_of_pymoo_finds_the_best_design_within_the_limits(self) -> None:
        from pymoo.algorithms.soo.nonconvex.ga import GA
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.operators.sampling.rnd import IntegerRandomSampling
        from pymoo.optimize import minimize

        from prime_fast.adapters.pymoo import DesignProblem

        batches: list[int] = []

        def score(ranks: Any) -> np.ndarray:
            batches.append(len(ranks))
            assert (SPACE.check(ranks) < 0).all()
            return times(ranks)

        problem = DesignProblem(SPACE, score, {"area_mm2": 32.0})
        repair = RoundingRepair()
        algorithm = GA(
            pop_size=20, sampling=IntegerRandomSampling(), crossover=SBX(vtype=float, repair=repair),
            mutation=PM(vtype=float, repair=repair), eliminate_duplicates=True,
        )  # fmt: skip
        found = minimize(problem, algorithm, ("n_gen", 20), seed=1)
        usable = (SPACE.check(EVERY) < 0) & (SPACE.metric("area_mm2", EVERY) <= 32.0)
        assert found.F[0] == pytest.approx(np.nanmin(times(EVERY[usable])))
        assert problem.frame(found.X).row(0, named=True)["units"] == 16
        assert max(batches) > 1
        assert len(batches) <= 20

    def test_constraints_and_several_objectives(self) -> None:
        from prime_fast.adapters.pymoo import INFEASIBLE, DesignProblem

        problem = DesignProblem(
            SPACE, lambda ranks: np.stack([times(ranks), SPACE.metric("area_mm2", ranks)], axis=1),
            {"area_mm2": 8.0}, objectives=2,
        )  # fmt: skip
        out = problem.evaluate(EVERY.astype(float) + 0.3, return_as_dictionary=True)
        limit, allowed, scored = out["G"].T
        np.testing.assert_allclose(limit, SPACE.metric("area_mm2", EVERY) / 8.0 - 1.0)
        np.testing.assert_array_equal(allowed > 0, SPACE.check(EVERY) >= 0)
        bad = np.isnan(times(EVERY))
        np.testing.assert_array_equal(scored > 0, bad & (SPACE.check(EVERY) < 0))
        good = ~bad & (SPACE.check(EVERY) < 0)
        np.testing.assert_allclose(out["F"][good, 0], times(EVERY)[good])
        assert (out["F"][~good] == INFEASIBLE).all()

    def test_wrong_use_is_one_clear_error(self) -> None:
        from prime_fast.adapters.pymoo import DesignProblem

        with pytest.raises(ConfigurationError, match="unknown limit `power`; the space computes area_mm2"):
            DesignProblem(SPACE, times, {"power": 1.0})
        with pytest.raises(DataError, match=r"the score has shape \(1,\); it must be \(5, 1\)"):
            DesignProblem(SPACE, lambda _: np.ones(1)).evaluate(EVERY[:5])


class TestScikitLearn:
    @pytest.fixture(autouse=True)
    def sklearn(self) -> Any:
        return pytest.importorskip("sklearn")

    @pytest.fixture
    def regressor(self) -> Any:
        from prime_fast.adapters.sklearn import SurrogateRegressor

        settings = {
            "width": 32,
            "members": 2,
            "steps": 300,
            "selection_steps": 20,
            "batch": 64,
            "checkpoints": 1,
        }
        return SurrogateRegressor(SPACE, settings=settings | {"alphas": (0.0,), "betas": (0.0,)})

    def test_it_fits_predicts_and_scores_as_a_regressor(self, regressor: Any, log: Log) -> None:
        from sklearn.base import clone, is_regressor
        from sklearn.exceptions import NotFittedError

        frame, good = log.frame.select(SPACE.names), log.feasible
        with pytest.raises(NotFittedError):
            regressor.predict(frame)
        assert is_regressor(regressor)
        assert regressor.fit(frame, log.values) is regressor
        assert regressor.score(frame.filter(pl.Series(good)), log.values[good]) > 0.8
        assert list(regressor.feature_names_in_) == SPACE.names
        assert regressor.n_features_in_ == 4
        mean, deviation = regressor.predict(frame, return_std=True)
        assert (deviation > 0.0).all()
        rows = np.array(frame.rows(), dtype=object)
        np.testing.assert_array_equal(regressor.predict(rows), mean)
        probability = regressor.predict_feasible(frame)
        assert probability[good].mean() > probability[~good].mean()
        other = clone(regressor)
        assert not hasattr(other, "surrogate_")
        assert other.get_params() == regressor.get_params()
        other.set_params(random_state=1, budget="standard")
        assert (other.random_state, other.budget) == (1, "standard")
        again = clone(regressor).fit(rows, log.values)
        np.testing.assert_array_equal(again.predict(frame), mean)

    def test_it_works_in_a_grid_search(self, regressor: Any, log: Log) -> None:
        from sklearn.model_selection import cross_val_score

        rows = np.array(log.frame.select(SPACE.names).rows(), dtype=object)[log.feasible]
        scores = cross_val_score(regressor, rows, log.values[log.feasible], cv=2)
        assert np.isfinite(scores).all()

    def test_it_keeps_the_conventions_that_need_no_data_of_others(self) -> None:
        # Others feed random numbers, which are values of no parameter.
        from sklearn.utils import estimator_checks

        from prime_fast.adapters.sklearn import SurrogateRegressor

        names = (
            "check_no_attributes_set_in_init", "check_parameters_default_constructible",
            "check_get_params_invariance", "check_set_params", "check_estimator_cloneable",
            "check_estimator_repr", "check_mixin_order", "check_do_not_raise_errors_in_init_or_set_param",
            "check_estimators_unfitted",
        )  # fmt: skip
        found = [getattr(estimator_checks, name) for name in names if hasattr(estimator_checks, name)]
        assert len(found) >= 7
        for check in found:
            check("SurrogateRegressor", SurrogateRegressor())

    def test_wrong_use_is_one_clear_error(self, regressor: Any, log: Log) -> None:
        frame = log.frame.select(SPACE.names)
        for X, y, error, message in (
            (frame.drop("units"), log.values, DataError, "no column `units`"),
            (frame.with_columns(units=pl.lit(3)), log.values, DataError, "`units` is 3; allowed: 1, 2, 4"),
            (np.ones((5, 2)), np.ones(5), ConfigurationError, r"shape \(5, 2\); it must be \(designs, 4\)"),
            (frame, log.values[:5], DataError, r"y has shape \(5,\); \d+ designs need"),
            (frame, ["fast"] * len(log), DataError, "y must be numbers"),
            (frame, np.full(len(log), np.nan), DataError, "0 feasible designs"),
            (frame, -log.values, DataError, "must be positive"),
        ):
            with pytest.raises(error, match=message):
                regressor.fit(X, y)
        with pytest.raises(ConfigurationError, match="unknown training setting 'depht'"):
            regressor.set_params(settings={"depht": 3}).fit(frame, log.values)
