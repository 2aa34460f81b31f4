//! Tests against the real kernel, in namespaces of their own.
