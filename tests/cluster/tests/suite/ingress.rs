//! A reverse proxy in pods, as an Ingress controller would run it: two hosts, two Services, TLS.

use std::process::Command;

use serde_json::{Value, json};
use sluice_cluster::{Cluster, NODES, TOOLS};
use sluice_host::Netns;

use crate::Scene;
use crate::pod::Heard;
use crate::scene::{Stage, servers, service};

pub(crate) const SCENES: &[Scene] = scenes![an_ingress_routes_two_hosts_to_two_services_with_tls];

/// The Services behind the proxy, each with a host name of its own.
const APPS: [&str; 2] = ["shop", "blog"];

/// A certificate for both hosts that signs itself, and its key.
fn certificate() -> (String, String) {
    let directory = std::env::temp_dir().join(format!("sluice-cluster-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let (key, certificate) = (directory.join("key"), directory.join("crt"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=ingress", "-addext", "subjectAltName=DNS:shop.example,DNS:blog.example"]);
    let output = command.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().expect("openssl is there");
    assert!(output.status.success(), "{output:?}");
    let text = [&certificate, &key].map(|file| std::fs::read_to_string(file).expect("written"));
    std::fs::remove_dir_all(&directory).expect("ours");
    text.into()
}

fn nginx(stage: &Stage<'_>) -> String {
    let server = |app: &&str| {
        let to = &stage.cluster_ips(app)[0];
        format!(
            "server {{ listen 8080; listen [::]:8080; listen 8443 ssl; listen [::]:8443 ssl; server_name {app}.example;
             ssl_certificate /ingress/tls.crt; ssl_certificate_key /ingress/tls.key;
             location / {{ proxy_pass http://{to}; }} }}\n"
        )
    };
    let servers: String = APPS.iter().map(server).collect();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|what| format!("{what}_temp_path /tmp/{what};\n")).collect();
    format!("daemon off; pid /tmp/pid; user root; events {{}}\nhttp {{ access_log off;\n{temporary}{servers}}}\n")
}

/// The proxy on each node, with its NodePort and its host ports.
fn ingress(stage: &Stage<'_>, certificate: &str, key: &str) -> Vec<Value> {
    let files = json!({ "nginx.conf": nginx(stage), "tls.crt": certificate, "tls.key": key });
    let mut proxy = servers("doorway", "ingress", 2);
    let pod = &mut proxy["spec"]["template"]["spec"];
    pod["volumes"] = json!([{ "name": "config", "secret": { "secretName": "ingress" } }]);
    pod["containers"] = json!([{
        "name": "nginx", "image": TOOLS.name, "imagePullPolicy": "Never",
        "command": ["nginx", "-e", "stderr", "-c", "/ingress/nginx.conf"],
        "volumeMounts": [{ "name": "config", "mountPath": "/ingress" }],
        "ports": [{ "containerPort": 8080, "hostPort": 80 }, { "containerPort": 8443, "hostPort": 443 }],
        "readinessProbe": { "tcpSocket": { "port": 8443 }, "periodSeconds": 1 },
    }]);
    let mut door = service("doorway", "ingress", "NodePort");
    door["spec"]["ports"] = json!([{ "name": "tls", "port": 443, "targetPort": 8443 }]);
    let meta = json!({ "name": "ingress", "namespace": "doorway" });
    vec![json!({ "apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": files }), proxy, door]
}

fn an_ingress_routes_two_hosts_to_two_services_with_tls(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "doorway");
    for app in APPS {
        stage.apply(&[servers("doorway", app, 2), service("doorway", app, "ClusterIP")]);
        stage.rolled_out(app);
    }
    let (certificate, key) = certificate();
    stage.apply(&ingress(&stage, &certificate, &key));
    stage.rolled_out("ingress");
    let port = stage.get(&["service", "ingress"])["spec"]["ports"][0]["nodePort"].to_string();
    let trusted = std::env::temp_dir().join(format!("sluice-cluster-{}.crt", std::process::id()));
    std::fs::write(&trusted, &certificate).expect("writable");
    let outside = Netns::open_named(&cluster.outside()).expect("the outside");
    let doors = [("https", port.as_str()), ("https", "443"), ("http", "80")];
    for address in NODES.iter().flat_map(|node| stage.node_addresses(node)) {
        for (app, (scheme, port)) in APPS.iter().flat_map(|app| doors.map(|door| (app, door))) {
            let at = if address.contains(':') { format!("[{address}]") } else { address.clone() };
            let (host, place) = (format!("{app}.example"), format!("{app}.example:{port}:{at}"));
            stage.until(&format!("{scheme}://{host}:{port} at {address}"), || {
                let mut curl = Command::new("curl");
                curl.args(["--silent", "--show-error", "--max-time", "10", "--resolve", &place, "--cacert"]);
                curl.arg(&trusted).arg(format!("{scheme}://{host}:{port}/"));
                let heard = Heard::from(outside.output(&mut curl))?;
                if heard.from.starts_with(&format!("{app}-")) { Ok(()) } else { Err(format!("{heard:?}")) }
            });
        }
    }
    std::fs::remove_file(&trusted).expect("ours");
}
