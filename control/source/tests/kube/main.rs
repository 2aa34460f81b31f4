//! The Kubernetes API as a source, against a server that follows a script.

mod access;
mod certificates;
mod failures;
mod lost_store;
mod reporter;
mod server;
mod told;
mod watches;
