//! A failure on its way to whoever tries again.

use std::error::Error;
use std::time::Duration;

use crate::failure::Failure;
use crate::kube::access::causes;
use crate::kube::decode::told;
use crate::kube::decode::{Nonsense, Status};

/// Why something failed, and how long the server wants to be left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setback {
    pub(crate) failure: Failure,
    pub(crate) retry_after: Option<Duration>,
}

impl From<Failure> for Setback {
    fn from(failure: Failure) -> Setback {
        Setback { failure, retry_after: None }
    }
}

impl From<Nonsense> for Setback {
    fn from(Nonsense(reason): Nonsense) -> Setback {
        Failure::Garbage { reason }.into()
    }
}

impl Setback {
    /// What a status other than success says. Which right is missing is filled in by whoever knows what was asked for.
    pub(crate) fn of_status(status: Status) -> Setback {
        let Status { code, message, retry_after } = status;
        let failure = match code {
            401 => Failure::Unauthorized { message },
            403 => Failure::Forbidden { verb: "use", resource: "the API", message },
            410 => Failure::Gone { resource_version: String::new() },
            // The other way round: the server has not got there, as its store was put back. A list is right either way.
            504 if message.contains("Too large resource version") => Failure::Gone { resource_version: String::new() },
            status => Failure::Refused { status, message },
        };
        Setback { failure, retry_after }
    }

    /// The same with the name of what was asked for.
    pub(crate) fn while_asking(mut self, to: &'static str, of: &'static str, at: &str) -> Setback {
        match &mut self.failure {
            Failure::Forbidden { verb, resource, .. } => (*verb, *resource) = (to, of),
            Failure::Gone { resource_version } => at.clone_into(resource_version),
            _ => {}
        }
        self
    }

    /// Whether it may be over once the files of the access are read again.
    pub(crate) fn may_be_access(&self) -> bool {
        match self.failure {
            Failure::Forbidden { .. }
            | Failure::Unauthorized { .. }
            | Failure::Certificate { .. }
            | Failure::Access { .. }
            | Failure::Unreachable { .. }
            | Failure::Silent { .. }
            | Failure::Garbage { .. }
            | Failure::NodeGone { .. } => true,
            // Busy or broken, but the server.
            Failure::Refused { status, .. } => status != 429 && status < 500,
            Failure::Ended { .. } | Failure::Gone { .. } => false,
        }
    }
}

/// What an error of the client says: about certificates, about credentials, or else that there is no way to the server.
pub(crate) fn failure_of(error: &kube::Error) -> Failure {
    let causes = match error {
        kube::Error::Auth(error) => return Failure::Access { reason: causes(error) },
        // Without the client's own names for them.
        kube::Error::Service(inner) => causes(inner.as_ref()),
        kube::Error::HyperError(inner) => causes(inner),
        other => causes(other),
    };
    about_certificates(error).unwrap_or_else(|| Failure::Unreachable { reason: told(&causes) })
}

/// What an error says about certificates, if it does.
pub(crate) fn about_certificates(error: &(dyn Error + 'static)) -> Option<Failure> {
    let tls = chain(error).find_map(|error| error.downcast_ref::<rustls::Error>())?;
    let reason = match tls {
        rustls::Error::InvalidCertificate(error) => format!("the server's certificate is not trusted: {error}"),
        rustls::Error::NoCertificatesPresented => "the server has no certificate".to_owned(),
        rustls::Error::AlertReceived(alert) if is_about_certificates(*alert) => {
            format!("the server does not trust the client certificate: {alert:?}")
        }
        _ => return None,
    };
    Some(Failure::Certificate { reason })
}

fn is_about_certificates(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::CertificateRequired
            | Alert::NoCertificate
    )
}

/// An error and its causes. The source of an I/O error is that of the error inside, which would be passed over.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| (*error).source())
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_certificate_is_found_below_any_number_of_io_errors() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        let Some(Failure::Certificate { reason }) = about_certificates(&error) else {
            panic!("not found in {error:?}")
        };
        assert_eq!(reason, "the server's certificate is not trusted: UnknownIssuer");
        assert_eq!(about_certificates(&io::Error::other("something else")), None);
    }

    #[test]
    fn a_refused_client_certificate_is_told_apart_from_other_alerts() {
        let alert = |alert| about_certificates(&io::Error::other(rustls::Error::AlertReceived(alert)));
        assert!(matches!(alert(rustls::AlertDescription::CertificateExpired), Some(Failure::Certificate { .. })));
        assert_eq!(alert(rustls::AlertDescription::InternalError), None);
    }
}
