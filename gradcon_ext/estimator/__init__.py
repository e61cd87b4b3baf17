"""A detector to fit, behind the protocol of `nonconform`, and what it shares with the estimators of other libraries."""

from gradcon_ext.estimator.one_class import OneClassDetector

__all__ = ["OneClassDetector"]
