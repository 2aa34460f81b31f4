//! Agents as in pods: their ServiceAccount as files, the API server in their environment.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sluice_lab::Layout;

use super::{Cluster, ClusterOptions, Value};
use crate::error::E2eError;

/// The directory below the API server's, as kubelet makes it for a projected volume.
const ACCOUNT: &str = "serviceaccount";
/// What the files of such a directory lead to.
const DATA: &str = "..data";
/// Of whom the account is.
const NAMESPACE: &str = "kube-system";

impl Cluster {
    /// As [`Cluster::up`] with agents in pods, by whose environment the API server is at `environment`.
    ///
    /// # Errors
    /// As [`Cluster::up`].
    pub fn up_in_pods(options: ClusterOptions, objects: &[Value], environment: SocketAddr) -> Result<Self, E2eError> {
        Self::up_as(options, objects, |cluster| {
            cluster.renew_service_account()?;
            // Whoever names nothing means the pod that it is in.
            cluster.options.agent.set("source={}")?;
            let sluiced = cluster.options.binaries.sluiced.clone();
            cluster.options.binaries.sluiced = cluster.container(&sluiced, environment)?;
            Ok(())
        })
    }

    /// Gives the agents' account a new token, and the authority of the server as it is now: files that all change at once, as
    /// kubelet changes them.
    ///
    /// # Errors
    /// What the API server refuses; what cannot be written.
    pub fn renew_service_account(&mut self) -> Result<(), E2eError> {
        self.token = super::token(&self.api)?;
        let directory = self.account();
        let (now, beside) = (directory.join(DATA), directory.join("..data_tmp"));
        let version = PathBuf::from(format!("..{}", fs::read_dir(&directory).map_or(0, Iterator::count)));
        let place = directory.join(&version);
        let write = || -> io::Result<()> {
            fs::create_dir_all(&place)?;
            fs::copy(self.api.file("admin.ca.crt"), place.join("ca.crt"))?;
            fs::write(place.join("token"), &self.token)?;
            fs::write(place.join("namespace"), NAMESPACE)?;
            symlink(&version, &beside)?;
            fs::rename(&beside, &now)?;
            for file in ["ca.crt", "token", "namespace"] {
                match symlink(Path::new(DATA).join(file), directory.join(file)) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        };
        write().map_err(E2eError::file(&directory))
    }

    /// A program that is `sluiced` as in its container: with a `/var` of its own, in which the account is where a container
    /// finds it, and all else of the machine.
    fn container(&self, sluiced: &Path, environment: SocketAddr) -> Result<PathBuf, E2eError> {
        let path = self.api.file("sluiced-in-a-pod");
        let (sluiced, account) = (sluiced.display(), self.account());
        let (account, host, port) = (account.display(), environment.ip(), environment.port());
        // Namespaces of pods are mounted below /run/netns, later too, so that mounts have to come in; none goes out.
        let script = format!(
            "#!/bin/sh\n\
             export KUBERNETES_SERVICE_HOST={host} KUBERNETES_SERVICE_PORT={port}\n\
             exec unshare --mount --propagation slave sh -c '\n\
                 mount -t tmpfs tmpfs /var && mkdir -p /var/run/secrets/kubernetes.io &&\n\
                 ln -s \"$0\" /var/run/secrets/kubernetes.io/serviceaccount && exec \"$@\"\n\
             ' '{account}' '{sluiced}' \"$@\"\n"
        );
        let executable = || fs::set_permissions(&path, fs::Permissions::from_mode(0o755));
        fs::write(&path, script).and_then(|()| executable()).map_err(E2eError::file(&path))?;
        Ok(path)
    }

    fn account(&self) -> PathBuf {
        Layout::of(&self.options.name).root().join("api").join(ACCOUNT)
    }
}
