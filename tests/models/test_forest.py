"""Our forests score as scikit-learn's do, with or without numba, alone or in a set, and explain their scores."""

import doctest
import hashlib

import hypothesis.extra.numpy as hnp
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest

import models.forest
from models.errors import BundleCorruptError, InputError
from models.forest import FOREST, Forest, ForestSet, fit_forest
from models.grow import grow_trees

#: SHA-256 of the nodes of a small forest by the compiled grower
COMPILED = "8eb30cd4374404902429cfbc3f490c120329f94dfb9d2e5ba85aedf4bb231e86"


def normal(rows, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns))


@st.composite
def tables(draw):
    """Training rows of many kinds: few or many, constant, repeated, tiny and huge values."""
    rows, columns = draw(st.integers(1, 60)), draw(st.integers(1, 6))
    values = st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([0.0, 1.0, -1.0, 0.1])
    return draw(hnp.arrays(np.float64, (rows, columns), elements=values))


@st.composite
def settings_of_forests(draw):
    return {
        "trees": draw(st.integers(1, 12)),
        "samples": draw(st.integers(1, 80)),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "max_features": draw(st.sampled_from([1.0, 0.5])),
    }


@settings(max_examples=60)
@given(tables(), settings_of_forests(), st.data())
def test_scores_equal_those_of_scikit_learn(train, options, data):
    forest = fit_forest(train, **options)
    elements = st.floats(-1e38, 1e38) | st.sampled_from(train.ravel().tolist())
    X = data.draw(hnp.arrays(np.float64, (7, train.shape[1]), elements=elements))
    theirs = IsolationForest(
        n_estimators=options["trees"],
        max_samples=min(options["samples"], len(train)),
        max_features=options["max_features"],
        random_state=options["seed"],
    ).fit(train.astype(np.float32))
    for rows in (X, train):
        assert np.abs(forest.score(rows) + theirs.score_samples(rows.astype(np.float32))).max() < 1e-9


@settings(max_examples=40)
@given(tables(), settings_of_forests(), st.data())
def test_the_fallback_without_numba_scores_the_same_to_the_bit(train, options, data):
    forest = fit_forest(train, **options)
    X = data.draw(hnp.arrays(np.float64, (9, train.shape[1]), elements=st.floats()))
    assert np.array_equal(forest.score(X), forest.score_numpy(X))


def test_the_fallback_scores_the_same_over_many_blocks():
    forest = fit_forest(normal(3000, 12), seed=0)
    X = normal(1000, 12, seed=1) * 2
    assert np.array_equal(forest.score(X), forest.score_numpy(X))


@settings(max_examples=40)
@given(tables(), settings_of_forests(), st.data())
def test_attributions_add_up_to_the_score_less_the_base(train, options, data):
    forest = fit_forest(train, **options)
    X = data.draw(hnp.arrays(np.float64, (5, train.shape[1]), elements=st.floats()))
    shares = forest.attribute(X)
    assert shares.shape == X.shape
    np.testing.assert_allclose(shares.sum(axis=1), forest.score(X) - forest.base, atol=1e-9)


def test_the_strange_column_carries_the_score():
    forest = fit_forest(normal(2000, 5), seed=0)
    X = np.zeros((1, 5))
    X[0, 3] = 8.0
    shares = forest.attribute(X)[0]
    assert shares.argmax() == 3
    assert shares[3] > 0 > np.delete(shares, 3).max()


def test_a_missing_value_counts_as_typical():
    train = normal(500, 3) + np.array([5.0, 0.0, -5.0])
    forest = fit_forest(train, seed=0)
    X = np.array([[np.nan, 1.0, np.nan]])
    typical = np.median(train.astype(np.float32), axis=0)
    assert forest.score(X) == forest.score(np.array([[typical[0], 1.0, typical[2]]]))
    assert forest.score(np.full((1, 3), np.nan)) < np.quantile(forest.score(train), 0.2)


def test_a_column_without_values_in_training_is_no_obstacle():
    train = np.column_stack([normal(100, 1), np.full(100, np.nan)])
    assert np.isfinite(fit_forest(train, seed=0).score(np.array([[0.0, np.nan], [np.nan, 3.0]]))).all()


def test_infinities_count_as_the_largest_numbers():
    forest = fit_forest(normal(500, 2), seed=0)
    largest = float(np.finfo(np.float32).max)
    infinite = np.array([[np.inf, 0.0], [-np.inf, 0.0], [1e300, 0.0]])
    finite = np.array([[largest, 0.0], [-largest, 0.0], [largest, 0.0]])
    assert np.array_equal(forest.score(infinite), forest.score(finite))
    assert np.isfinite(fit_forest(np.array([[np.inf], [0.0], [-np.inf]]), seed=0).score(infinite[:, :1])).all()


@settings(max_examples=25)
@given(st.lists(st.integers(0, 4), max_size=40), st.booleans())
def test_a_set_scores_each_row_as_its_own_forest_does_to_the_bit(models, in_order):
    forests = FORESTS
    index = np.array(sorted(models) if in_order else models, np.int64)
    X = normal(len(index), 4, seed=len(index))
    alone = [forests[model].score(X[i : i + 1])[0] for i, model in enumerate(index)]
    together = ForestSet.of(forests)
    assert np.array_equal(together.score(X, index), np.array(alone, np.float64))
    shares = [forests[model].attribute(X[i : i + 1])[0] for i, model in enumerate(index)]
    assert np.array_equal(together.attribute(X, index), np.array(shares).reshape(len(index), 4))


FORESTS = [fit_forest(normal(20 * (i + 1) ** 2, 4, seed=i), trees=5 + i, seed=i) for i in range(5)]


@given(st.integers(1, 200))
def test_cutting_a_batch_changes_no_score(cut):
    X = normal(200, 4, seed=9)
    whole = FORESTS[3].score(X)
    assert np.array_equal(np.concatenate([FORESTS[3].score(X[:cut]), FORESTS[3].score(X[cut:])]), whole)


def test_a_set_comes_back_from_arrow_as_it_was(tmp_path):
    together = ForestSet.of(FORESTS)
    path = tmp_path / "forests.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, FOREST) as writer:
        writer.write_table(together.to_table())
    with pa.memory_map(str(path)) as source:
        back = ForestSet.from_table(pa.ipc.open_file(source).read_all())
    assert back.to_table().equals(together.to_table())
    X, index = normal(50, 4), np.arange(50) % 5
    assert np.array_equal(back.score(X, index), together.score(X, index))
    assert np.array_equal(back.forest(2).score(X), FORESTS[2].score(X))
    assert len(back) == 5


def test_part_of_a_table_is_a_set_too():
    part = ForestSet.from_table(ForestSet.of(FORESTS).to_table().slice(2, 2))
    X = normal(10, 4)
    assert np.array_equal(part.forest(1).score(X), FORESTS[3].score(X))


def test_one_forest_comes_back_from_arrow_as_it_was():
    X = normal(20, 4)
    assert np.array_equal(Forest.from_table(FORESTS[1].to_table()).score(X), FORESTS[1].score(X))
    with pytest.raises(BundleCorruptError, match="5 rows"):
        Forest.from_table(ForestSet.of(FORESTS).to_table())


@pytest.mark.parametrize("column", ["samples", "levels", "root", "threshold", "feature", "step", "typical"])
def test_damaged_trees_are_refused(column):
    table = FORESTS[4].to_table()
    kind = FOREST.field(column).type
    values = table.column(column).to_pylist()
    if isinstance(values[0], list):
        values[0][-1] = {"threshold": -5.0, "step": 60_000, "root": 10**9, "feature": 255, "typical": 0.0}[column]
        values[0] += [0] if column == "typical" else []
    else:
        values[0] = 0
    damaged = table.set_column(table.schema.get_field_index(column), FOREST.field(column), pa.array(values, kind))
    with pytest.raises(BundleCorruptError):
        ForestSet.from_table(damaged)


@pytest.mark.parametrize("value", [None, [], [None]])
def test_forests_without_nodes_or_with_nulls_are_refused(value):
    table = FORESTS[0].to_table()
    for name in ("threshold", "feature", "step"):
        field = FOREST.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array([value], field.type))
    with pytest.raises(BundleCorruptError):
        ForestSet.from_table(table)


def test_another_table_is_refused():
    with pytest.raises(BundleCorruptError, match="Not a table of forests"):
        ForestSet.from_table(pa.table({"a": [1]}))


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others():
    train = normal(1000, 6)
    assert fit_forest(train, seed=7).to_table().equals(fit_forest(train.copy(order="F"), seed=7).to_table())
    assert not fit_forest(train, seed=7).to_table().equals(fit_forest(train, seed=8).to_table())


@pytest.mark.parametrize("grower", ["scikit-learn", "compiled"])
def test_a_forest_of_common_size_stays_small(grower):
    for X in (normal(2000, 12), np.random.default_rng(0).uniform(size=(2000, 30))):
        assert fit_forest(X, seed=0, grower=grower).arrays.nbytes < 150_000


@settings(max_examples=40)
@given(tables(), settings_of_forests(), st.data())
def test_compiled_trees_isolate_every_row_that_can_be_within_the_limit_of_depth(train, options, data):
    forest = fit_forest(train, **options, grower="compiled")
    ForestSet.from_table(forest.to_table())  # which checks every node
    drawn = min(options["samples"], len(train))
    assert len(forest.arrays.root) == options["trees"]
    assert forest.arrays.levels[0] <= np.ceil(np.log2(max(drawn, 2)))
    X = data.draw(hnp.arrays(np.float64, (5, train.shape[1]), elements=st.floats()))
    np.testing.assert_allclose(forest.attribute(X).sum(axis=1), forest.score(X) - forest.base, atol=1e-9)
    leaves = forest.arrays.threshold[forest.arrays.step == 0].astype(np.int64) & 0xFFFF
    assert leaves.sum() == drawn * options["trees"], "each row drawn ends in one leaf of its tree"


def test_compiled_trees_score_as_scikit_learns_do_with_another_seed():
    rng = np.random.default_rng(3)
    train = np.column_stack([rng.normal(size=3000), rng.exponential(size=3000), rng.integers(0, 3, 3000)])
    X = np.concatenate([train[:200], rng.normal(scale=6.0, size=(200, 3))])
    theirs = np.array([fit_forest(train, seed=seed).score(X) for seed in range(6)])
    ours = np.array([fit_forest(train, seed=seed, grower="compiled").score(X) for seed in range(6)])
    # the means of six seeds differ by chance alone: by what scikit-learn's seeds among themselves let expect
    chance = np.sqrt(theirs.var(axis=0, ddof=1) * 2 / 6)
    assert np.sqrt(np.mean(((ours.mean(axis=0) - theirs.mean(axis=0)) / chance) ** 2)) < 1.5
    assert 0.7 < np.sqrt(ours.var(axis=0).mean() / theirs.var(axis=0).mean()) < 1.4


def test_compiled_trees_are_the_same_bytes_on_every_machine():
    train = np.arange(3000.0).reshape(300, 10) % 7.3
    arrays = fit_forest(train, trees=20, samples=64, seed=5, max_features=0.7, grower="compiled").arrays
    content = b"".join(part.tobytes() for part in (arrays.threshold, arrays.feature, arrays.step, arrays.root))
    assert hashlib.sha256(content).hexdigest() == COMPILED


def test_trees_grown_without_numba_are_the_same():
    values = normal(50, 3).astype(np.float32)

    def grow(grower):
        state, root = np.array([9], np.uint64), np.zeros(3, np.uint32)
        nodes = [np.zeros(3 * 39, kind) for kind in (np.float32, np.uint8, np.uint16)]
        with np.errstate(over="ignore"):
            return [*grower(values, 3, 20, 5, 2, state, root, *nodes), *nodes, root, state]

    for compiled, plain in zip(grow(grow_trees), grow(getattr(grow_trees, "py_func", grow_trees)), strict=True):
        assert np.array_equal(compiled, plain)


def test_the_example_in_the_documentation_holds():
    assert doctest.testmod(models.forest) == doctest.TestResults(failed=0, attempted=4)


def test_read_only_and_foreign_layouts_are_scored_alike():
    X = normal(30, 4)
    expected = FORESTS[0].score(X)
    fixed = X.copy()
    fixed.flags.writeable = False
    for other in (fixed, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2]):
        assert np.array_equal(FORESTS[0].score(other), expected)
    assert FORESTS[0].score(np.zeros((0, 4))).shape == (0,)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((0, 3), {}),
        ((3, 0), {}),
        ((5,), {}),
        ((5, 255), {}),
        ((5, 2), {"trees": 0}),
        ((5, 2), {"samples": 0}),
        ((5, 2), {"samples": 70_000}),
        ((5, 2), {"max_features": 0.0}),
        ((5, 2), {"seed": -1}),
        ((5, 2), {"grower": "another"}),
    ],
)
def test_impossible_training_is_refused(shape, options):
    with pytest.raises(InputError, match="can't be fitted"):
        fit_forest(np.zeros(shape), **{"seed": 0, **options})


def test_rows_that_do_not_fit_are_refused():
    together = ForestSet.of(FORESTS)
    with pytest.raises(InputError, match="don't fit"):
        FORESTS[0].score(np.zeros((2, 3)))
    with pytest.raises(InputError, match="One model a row"):
        together.score(np.zeros((2, 4)), np.zeros(3, np.int32))
    for index in (-1, 5):
        with pytest.raises(InputError, match="No such forest"):
            together.score(np.zeros((1, 4)), np.array([index]))
    with pytest.raises(InputError, match="share their columns"):
        ForestSet.of([FORESTS[0], fit_forest(normal(10, 2), trees=2, seed=0)])
    with pytest.raises(InputError, match="at least one"):
        ForestSet.of([])
