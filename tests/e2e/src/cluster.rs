//! A lab whose agents watch a real API server.

mod in_pod;
mod placed;
mod power;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde_json::{Value, json};
use sluice_lab::{AgentSettings, Binaries, Change, LabName, Layout, ObjectSource, Record, Stop, UpOptions, WireHost};

use crate::api_server::{ApiServer, ApiServerOptions};
use crate::error::E2eError;
use placed::Placed;

/// The ranges that ClusterIPs are taken from.
pub const SERVICE_RANGES: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];
/// The API server's addresses on the wire.
pub const API_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 250);
/// The same for IPv6.
pub const API_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x250);
/// The host on the wire that the API server is.
const HOST: &str = "api";
/// The name of the agents' kubeconfig.
const KUBECONFIG: &str = "node.kubeconfig";
/// The user that the agents are, with all that it may do.
const RIGHTS: &str = include_str!("../../../deploy/manifests/rbac.yaml");
const TOKENS: &str = "/api/v1/namespaces/kube-system/serviceaccounts/sluiced/token";

/// What cluster to make.
#[derive(Debug)]
pub struct ClusterOptions {
    /// Its lab's name.
    pub name: LabName,
    /// Settings of the agents, as `KEY=VALUE`.
    pub settings: Vec<String>,
    /// Cores of their workers; empty for the machine's last one.
    pub cores: Vec<usize>,
    /// Its API server.
    pub api: ApiServerOptions,
    /// Raised to stop between two steps.
    pub stop: Stop,
}

/// Nodes with real agents and pods attached by the real plugin, fed by a real API server. All of it goes with this value.
#[derive(Debug)]
pub struct Cluster {
    options: UpOptions,
    api: ApiServer,
    placed: Placed,
    /// What the agents say who they are with.
    token: String,
}

impl Cluster {
    /// Makes the wire and the API server, brings it the objects, then the nodes and pods that are among them.
    ///
    /// # Errors
    /// What does not start, with the end of its log. Nothing is left then.
    pub fn up(options: ClusterOptions, objects: &[Value]) -> Result<Self, E2eError> {
        Self::up_as(options, objects, |_| Ok(()))
    }

    /// The same with what is done before there is a node.
    fn up_as(
        options: ClusterOptions,
        objects: &[Value],
        prepare: impl FnOnce(&mut Self) -> Result<(), E2eError>,
    ) -> Result<Self, E2eError> {
        let name = options.name.clone();
        let made = Self::begin(options, objects).and_then(|mut cluster| {
            prepare(&mut cluster)?;
            cluster.bring(objects)?;
            Ok(cluster)
        });
        if made.is_err() {
            let _ = sluice_lab::down(&name);
        }
        made
    }

    /// The API server with its users, and no node yet.
    fn begin(options: ClusterOptions, objects: &[Value]) -> Result<Self, E2eError> {
        sluice_lab::down(&options.name)?;
        let root = Layout::of(&options.name).root().to_owned();
        let placed = Placed::of(&root.join("manifests"), objects)?;
        let mut up = UpOptions {
            name: options.name.clone(),
            manifests: placed.directory().to_owned(),
            binaries: Binaries::find()?,
            underlay: true,
            agent: AgentSettings { cores: options.cores.clone(), ..AgentSettings::default() },
            stop: options.stop.clone(),
        };
        up.agent.set(&format!("services.cidrs=[{:?},{:?}]", SERVICE_RANGES[0], SERVICE_RANGES[1]))?;
        for setting in &options.settings {
            up.agent.set(setting)?;
        }
        let addresses: [IpAddr; 2] = [API_V4.into(), API_V6.into()];
        let netns = sluice_lab::raise_wire(&up, &WireHost { label: HOST.to_owned(), addresses: addresses.into() })?;
        let api = ApiServer::start(&netns, &root.join("api"), &addresses, options.api)?;
        let rights: Vec<Value> =
            serde_saphyr::from_multiple(RIGHTS).map_err(|error| E2eError::Object(error.to_string()))?;
        for object in &rights {
            api.admin().apply(object)?;
        }
        let token = token(&api)?;
        let kubeconfig = api.write_kubeconfig(KUBECONFIG, &api.url(), &token)?;
        up.agent.source = ObjectSource::Kubeconfig(kubeconfig);
        Ok(Self { options: up, api, placed, token })
    }

    /// Writes another URL of the API server into the agents' kubeconfig, for their next start.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn lead_agents(&self, url: &str) -> Result<(), E2eError> {
        self.api.write_kubeconfig(KUBECONFIG, url, &self.token).map(drop)
    }

    /// Changes a setting of the agents, `KEY=VALUE`; [`Cluster::repair`] starts them again with it.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn set(&mut self, setting: &str) -> Result<(), E2eError> {
        Ok(self.options.agent.set(setting)?)
    }

    /// Takes a setting back, as [`Cluster::set`] does.
    pub fn unset(&mut self, key: &str) {
        self.options.agent.set.remove(key);
    }

    /// Its API server.
    pub fn api(&self) -> &ApiServer {
        &self.api
    }

    /// Its API server, for what happens to it.
    pub fn api_mut(&mut self) -> &mut ApiServer {
        &mut self.api
    }

    /// Its lab's name.
    pub fn name(&self) -> &LabName {
        &self.options.name
    }

    /// Brings objects to the API server, and the lab to the nodes and pods among them.
    ///
    /// # Errors
    /// What the API server refuses; what does not start.
    pub fn bring(&mut self, objects: &[Value]) -> Result<(), E2eError> {
        for object in objects {
            let applied = self.api.admin().apply(object)?;
            self.placed.insert(&applied);
        }
        if objects.iter().any(Placed::is_of) { self.repair() } else { Ok(()) }
    }

    /// Deletes objects from the API server; a node or pod among them goes from the lab too.
    ///
    /// # Errors
    /// What the API server refuses; what does not end.
    pub fn remove(&mut self, objects: &[Value]) -> Result<(), E2eError> {
        for object in objects {
            self.api.admin().delete(&crate::path_of(object)?)?;
            self.placed.remove(object);
        }
        if objects.iter().any(Placed::is_of) { self.repair() } else { Ok(()) }
    }

    /// Brings the lab to what it is to be, a killed agent too.
    ///
    /// # Errors
    /// What does not start.
    pub fn repair(&self) -> Result<(), E2eError> {
        self.placed.write()?;
        let admin = self.api.admin();
        let mut untold = Ok(());
        sluice_lab::up(&self.options, &mut |change| {
            if let Change::PodAttached { pod, attachment } = change {
                // As its kubelet would, as soon as it knows.
                let told = admin.merge(&self.placed.path_of_pod(pod), &running_at(&attachment.addresses));
                untold = std::mem::replace(&mut untold, Ok(())).and(told.map(drop));
            }
        })?;
        untold
    }

    /// Cuts the API server off from the wire, or joins it again. Its own namespace still reaches it.
    ///
    /// # Errors
    /// When the lab's wire is gone.
    pub fn join_api(&self, joined: bool) -> Result<(), E2eError> {
        Ok(sluice_lab::set_wire(&self.options.name, HOST, joined)?)
    }

    /// What the lab consists of.
    ///
    /// # Errors
    /// When it is gone.
    pub fn record(&self) -> Result<Record, E2eError> {
        Ok(sluice_lab::record(&self.options.name)?)
    }

    /// The status document of a node's agent.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self, node: &str) -> Result<Value, E2eError> {
        Ok(sluice_lab::agent_status(&self.options.name, node)?)
    }

    /// The directory where a node's agent keeps its state.
    pub fn state_dir(&self, node: &str) -> PathBuf {
        Layout::of(&self.options.name).state_dir(node)
    }

    /// What a node's agent has printed.
    pub fn log(&self, node: &str) -> String {
        let text = fs::read(Layout::of(&self.options.name).log(node)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.api.resume();
        self.api.kill();
        if let Err(error) = sluice_lab::down(&self.options.name)
            && !std::thread::panicking()
        {
            panic!("{error}");
        }
    }
}

/// A token of the agents' user, for a day.
fn token(api: &ApiServer) -> Result<String, E2eError> {
    let wanted = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "expirationSeconds": 86400 },
    });
    let given = api.admin().request("POST", TOKENS, "application/json", &wanted)?;
    let token = given["status"]["token"].as_str();
    token.map(str::to_owned).ok_or_else(|| E2eError::Object(format!("an answer without a token: {given}")))
}

fn running_at(addresses: &[IpAddr]) -> Value {
    let all: Vec<Value> = addresses.iter().map(|address| json!({ "ip": address })).collect();
    json!({ "status": { "phase": "Running", "podIP": addresses.first(), "podIPs": all } })
}
