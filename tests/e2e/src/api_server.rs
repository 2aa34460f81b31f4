//! etcd and kube-apiserver, and what can happen to them.

mod etcd;
mod flags;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sluice_host::Netns;

use crate::certificates::{Authority, Certificate, token_keys};
use crate::client::Client;
use crate::error::E2eError;
use crate::kubeconfig::{self, Identity};
use crate::programs;
use crate::running::Running;
use etcd::EtcdServer;

/// The port of the API server.
pub const PORT: u16 = 6443;
/// Where it is for those in its own namespace.
pub const LOOPBACK: &str = "127.0.0.1";
/// How long a start may take.
const READY_BOUND: Duration = Duration::from_secs(120);
/// Between two looks at a server that is starting.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What exists once the server has furnished itself.
const FURNISHED: [&str; 4] = [
    "/readyz",
    "/api/v1/namespaces/kube-system",
    "/api/v1/namespaces/default/services/kubernetes",
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
];

/// Which etcd keeps the objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Etcd {
    /// The release that this Kubernetes is made with. The API server serves streaming lists with it.
    #[default]
    Current,
    /// Debian's 3.4, with which a server refuses streaming lists.
    Debian,
}

/// What varies between API servers.
#[derive(Debug, Clone, Default)]
pub struct ApiServerOptions {
    /// Where it keeps the objects.
    pub etcd: Etcd,
    /// Further flags, such as `--min-request-timeout=2`. One that is given here is not given as the tests usually do.
    pub flags: Vec<String>,
}

/// An API server with its etcd. Both end with this value.
#[derive(Debug)]
pub struct ApiServer {
    place: Place,
    options: ApiServerOptions,
    /// Signs the users' certificates.
    users: Authority,
    /// Signed the certificate that the server shows.
    servers: Authority,
    client: Client,
    server: Option<Running>,
    // After the server, which would complain of its going.
    etcd: EtcdServer,
}

/// Where the API server is.
#[derive(Debug)]
struct Place {
    netns: String,
    directory: PathBuf,
    addresses: Vec<IpAddr>,
}

impl Place {
    fn netns(&self) -> Result<Netns, E2eError> {
        Ok(Netns::open_named(&self.netns)?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl ApiServer {
    /// Starts both in the namespace of this name, with all their files in `directory`, and waits until the server is ready.
    ///
    /// # Errors
    /// [`E2eError::NoProgram`], [`E2eError::NotReady`] with the end of the server's log.
    pub fn start(
        netns: &str,
        directory: &Path,
        addresses: &[IpAddr],
        options: ApiServerOptions,
    ) -> Result<Self, E2eError> {
        let directory = directory.to_owned();
        fs::create_dir_all(&directory).map_err(E2eError::file(&directory))?;
        let place = Place { netns: netns.to_owned(), directory, addresses: addresses.to_vec() };
        let (users, servers) = (Authority::new("users")?, Authority::new("servers")?);
        let (private, public) = token_keys()?;
        for (name, text) in [("users.crt", users.certificate()), ("tokens.key", &private), ("tokens.pub", &public)] {
            write(&place.file(name), text)?;
        }
        let etcd = EtcdServer::start(&place, options.etcd)?;
        let client = admin(&place, &users, &servers)?;
        let mut server = Self { place, options, users, servers, client, server: None, etcd };
        server.show_certificate()?;
        server.restart()?;
        Ok(server)
    }

    /// Its administrator, who speaks with it over its own loopback.
    pub fn admin(&self) -> &Client {
        &self.client
    }

    /// The name of its network namespace.
    pub fn netns(&self) -> &str {
        &self.place.netns
    }

    /// A kubeconfig of its administrator, for use inside its namespace.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.place.file("admin.kubeconfig")
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Running::pid)
    }

    /// Its URL on the wire.
    pub fn url(&self) -> String {
        let address = self.place.addresses.first().copied().unwrap_or(IpAddr::from([127, 0, 0, 1]));
        format!("https://{address}:{PORT}")
    }

    /// Writes a kubeconfig for whom a ServiceAccount's token identifies, of the server at `url`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_kubeconfig(&self, name: &str, url: &str, token: &str) -> Result<PathBuf, E2eError> {
        let path = self.place.file(name);
        kubeconfig::write(&path, url, self.servers.certificate(), &Identity::Token(token))?;
        Ok(path)
    }

    /// Writes a kubeconfig for a user of a group, by a certificate, of the server at `url`.
    ///
    /// # Errors
    /// When the certificate cannot be made or the file not be written.
    pub fn write_user_kubeconfig(&self, name: &str, url: &str, user: &str, group: &str) -> Result<PathBuf, E2eError> {
        let path = self.place.file(name);
        let certificate = self.users.client(user, group)?;
        kubeconfig::write(&path, url, self.servers.certificate(), &Identity::Certificate(&certificate))?;
        Ok(path)
    }

    /// One of its own files: `users.crt`, which signed its users' certificates, `tokens.key`, which signs tokens, or
    /// `admin.ca.crt`, which signed its own certificate.
    pub fn file(&self, name: &str) -> PathBuf {
        self.place.file(name)
    }

    /// Ends the API server as a crash does; etcd stays.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Lets it hang: its connections stay, and nothing is answered from here on.
    ///
    /// # Errors
    /// [`E2eError::NotReady`] when it does not stop.
    pub fn hang(&self) -> Result<(), E2eError> {
        let Some(server) = &self.server else { return Ok(()) };
        server.signal(Signal::STOP);
        let start = Instant::now();
        while !server.is_stopped() {
            if start.elapsed() > READY_BOUND {
                let last = "a thread of it still runs".to_owned();
                return Err(E2eError::NotReady {
                    program: "kube-apiserver",
                    waited: start.elapsed(),
                    last,
                    tail: server.tail(),
                });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Lets it go on after [`Self::hang`].
    pub fn resume(&self) {
        if let Some(server) = &self.server {
            server.signal(Signal::CONT);
        }
    }

    /// Starts it, after ending it when it runs, and waits until it is ready.
    ///
    /// # Errors
    /// [`E2eError::NotReady`] with the end of its log.
    pub fn restart(&mut self) -> Result<(), E2eError> {
        self.kill();
        let mut command = vec![programs::built("kube-apiserver", "KUBE_APISERVER")?.to_string_lossy().into_owned()];
        command.extend(flags::of(&self.place, &self.options.flags));
        let log = self.place.file("kube-apiserver.log");
        self.server = Some(Running::start(&self.place.netns()?, &command, &log)?);
        self.await_ready()
    }

    /// Puts one with other certificates in its place, as a rebuilt control plane would be: those who know the first ones
    /// no longer trust it. Its administrator does.
    ///
    /// # Errors
    /// As [`Self::restart`].
    pub fn restart_with_other_certificates(&mut self) -> Result<Replaced, E2eError> {
        let first = std::mem::replace(&mut self.servers, Authority::new("other servers")?);
        self.show_certificate()?;
        self.restart()?;
        Ok(Replaced(first))
    }

    /// Puts the first certificates back.
    ///
    /// # Errors
    /// As [`Self::restart`].
    pub fn restore_certificates(&mut self, replaced: Replaced) -> Result<(), E2eError> {
        self.servers = replaced.0;
        self.show_certificate()?;
        self.restart()
    }

    /// Forgets every revision but the last, so that a watch cannot go on from an earlier one: in etcd, and by a restart in the
    /// memory of the API server.
    ///
    /// # Errors
    /// When etcd does not answer; as [`Self::restart`].
    pub fn forget(&mut self) -> Result<(), E2eError> {
        self.etcd.compact(&self.place.netns()?)?;
        self.restart()
    }

    /// Makes the certificate that the server shows from its next start on, and the administrator's trust in it.
    fn show_certificate(&mut self) -> Result<(), E2eError> {
        let mut names = vec![LOOPBACK.to_owned(), "localhost".to_owned(), "kubernetes.default.svc".to_owned()];
        names.push(flags::KUBERNETES_SERVICE.to_owned());
        names.extend(self.place.addresses.iter().map(ToString::to_string));
        let Certificate { certificate, key } = self.servers.server(&names)?;
        write(&self.place.file("server.crt"), &certificate)?;
        write(&self.place.file("server.key"), &key)?;
        self.client = admin(&self.place, &self.users, &self.servers)?;
        Ok(())
    }

    fn await_ready(&mut self) -> Result<(), E2eError> {
        let start = Instant::now();
        loop {
            let Some(error) = FURNISHED.iter().find_map(|path| self.client.get(path).err()) else { return Ok(()) };
            let Some(server) = &mut self.server else { return Err(error) };
            let ended = server.ended();
            if start.elapsed() > READY_BOUND || ended.is_some() {
                let last = ended.map_or_else(|| error.to_string(), |status| format!("it ended with {status}"));
                let tail = server.tail();
                return Err(E2eError::NotReady { program: "kube-apiserver", waited: start.elapsed(), last, tail });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Certificates that are to come back.
#[derive(Debug)]
pub struct Replaced(Authority);

/// The administrator, by a certificate of the group that may do everything.
fn admin(place: &Place, users: &Authority, servers: &Authority) -> Result<Client, E2eError> {
    let path = place.file("admin.kubeconfig");
    let certificate = users.client("admin", "system:masters")?;
    let url = format!("https://{LOOPBACK}:{PORT}");
    kubeconfig::write(&path, &url, servers.certificate(), &Identity::Certificate(&certificate))?;
    Client::new(place.netns()?, &path)
}

fn write(path: &Path, text: &str) -> Result<(), E2eError> {
    fs::write(path, text).map_err(E2eError::file(path))
}
