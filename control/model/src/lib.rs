//! Kubernetes objects to a validated model to tables.
