"""scikit-learn's own checks of estimators."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from gradcon_ext.sklearn import GradConDetector

EXPECTED_FAILURES: dict[str, str] = {}


@parametrize_with_checks(
    [GradConDetector(epochs=5, width=8, batch_size=32)],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_scikit_learns_checks(estimator, check) -> None:
    check(estimator)
