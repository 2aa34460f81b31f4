//! The connection to the API server that the watches share.

use crate::kube::access::Access;
use crate::kube::watch::Timing;

#[derive(Debug)]
pub(crate) struct Connection {
    _access: Access,
    _timing: Timing,
}

impl Connection {
    pub(crate) fn new(access: Access, timing: Timing) -> Connection {
        Connection { _access: access, _timing: timing }
    }
}
