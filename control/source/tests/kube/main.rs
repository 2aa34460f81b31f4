//! The Kubernetes API as a source, against a server that follows a script.

mod failures;
mod server;
mod told;
mod watches;
