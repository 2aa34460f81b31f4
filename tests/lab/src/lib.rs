//! Namespaces that play nodes and pods.
