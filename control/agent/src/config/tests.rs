//! Files, flags, defaults, and a refusal for everything that is wrong.

use clap::{CommandFactory, Parser};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use sluice_cni_protocol::{CniVersion, Installation};
use sluice_model::NodePortAddresses;

use super::*;

fn surroundings() -> Surroundings {
    Surroundings { node_name: None, hostname: Some("Host-1".into()), cores: vec![0, 1, 3], in_cluster: false }
}

fn args(flags: &[&str]) -> Args {
    Args::try_parse_from(["sluiced"].iter().chain(flags)).unwrap()
}

/// The configuration of a file with this text and these flags.
fn load(text: &str, flags: &[&str]) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, text).unwrap();
    let args = Args { config: Some(path), ..args(flags) };
    Config::load(args, &surroundings())
}

/// What is said of a good file with these lines added.
fn refusal(lines: &str) -> String {
    load(&format!("source: {{directory: /m}}\n{lines}\n"), &[]).expect_err("must be refused").to_string()
}

#[test]
fn defaults_fill_in_what_is_left_out() {
    let config = load("source:\n  directory: /etc/sluice/manifests\n", &[]).unwrap();
    assert_eq!(config.node_name.as_str(), "host-1");
    assert_eq!(config.run_dir, Path::new("/run/sluice"));
    assert_eq!(config.state_dir, Path::new("/var/lib/sluice"));
    assert_eq!(config.source, Source::Directory("/etc/sluice/manifests".into()));
    assert_eq!(config.cores, [3]);
    assert_eq!((config.pod_mtu, config.umem_frames), (None, 4096));
    let network = &config.network;
    assert_eq!((network.uplink.as_deref(), network.encapsulation), (None, Encapsulation::Vxlan));
    assert_eq!((network.vni, network.tunnel_port, network.masquerade_ports), (1, 4789, (61000, 65535)));
    assert_eq!((network.node_port_addresses.clone(), network.connections), (NodePortAddresses::Primary, None));
    assert_eq!((config.idle, config.super_frames), (Idle::Adaptive, SuperFrames::Auto));
    assert_eq!(config.http.to_string(), "127.0.0.1:9810");
    assert_eq!(config.features, Features::default());
}

const WHOLE: &str = "
nodeName: n1
runDir: /run/a
stateDir: /var/a
source: {directory: /m}
cores: [1, 0]
idle: poll
idleCores: poll
podMtu: 9000
superFrames: off
xdpMode: native
zeroCopy: require
hugePages: off
umemFrames: 4096
features: {multiBuffer: off, txMetadata: off, txBudget: off, needWakeup: off}
uplink: {device: eth7}
tunnel: {encapsulation: geneve, vni: 7, port: 6082}
services:
  cidrs: [10.96.0.0/16, 'fd00:96::/112']
  choice: maglev
  externalIps: off
  nodePortAddresses: [192.0.2.0/24]
  proxyName: other
  removedEndpoints: drop
masquerade: {outside: off, excluded: [10.0.0.0/8], ports: 50000-50999}
connections: {max: 2048, podShare: 7}
cni: {confDir: /c, binDir: /b, plugin: /p, network: net, version: 0.4.0}
http: '[::1]:80'
log: {format: json, level: debug}
";

#[test]
fn every_key_of_a_file_is_taken() {
    let config = load(WHOLE, &[]).unwrap();
    let off = Switchable::Off;
    let features = Features { multi_buffer: off, tx_metadata: off, tx_budget: off, need_wakeup: off };
    let expected = Config {
        node_name: NodeName::new("n1").unwrap(),
        run_dir: "/run/a".into(),
        state_dir: "/var/a".into(),
        source: Source::Directory("/m".into()),
        cores: vec![1, 0],
        idle: Idle::Poll,
        idle_cores: IdleCores::Poll,
        pod_mtu: Some(9000),
        super_frames: SuperFrames::Off,
        xdp_mode: XdpMode::Native,
        zero_copy: Need::Require,
        huge_pages: Need::Off,
        umem_frames: 4096,
        features,
        network: Network {
            uplink: Some("eth7".into()),
            encapsulation: Encapsulation::Geneve,
            vni: 7,
            tunnel_port: 6082,
            service_cidrs: vec!["10.96.0.0/16".parse().unwrap(), "fd00:96::/112".parse().unwrap()],
            choice: EndpointChoice::Maglev,
            external_ips: Switched::Off,
            node_port_addresses: NodePortAddresses::Ranges(vec!["192.0.2.0/24".parse().unwrap()]),
            proxy_name: Some("other".into()),
            removed_endpoints: RemovedEndpoints::Drop,
            masquerade_outside: Switched::Off,
            masquerade_excluded: vec!["10.0.0.0/8".parse().unwrap()],
            masquerade_ports: (50000, 50999),
            connections: Some(2048),
            pod_share: 7,
        },
        cni: Some(Cni {
            installation: Installation { conf_dir: "/c".into(), bin_dir: "/b".into() },
            plugin: Some("/p".into()),
            network: "net".into(),
            version: CniVersion::V0_4_0,
        }),
        http: "[::1]:80".parse().unwrap(),
        log: Log { format: LogFormat::Json, level: LogLevel::Debug },
    };
    assert_eq!(config, expected);
}

#[test]
fn every_key_is_a_flag_and_flags_win() {
    let flags = [
        "--node-name=n2",
        "--run-dir=/run/b",
        "--state-dir=/var/b",
        "--source-directory=/n",
        "--cores=0,3",
        "--idle=adaptive",
        "--idle-cores=halt",
        "--pod-mtu=1280",
        "--super-frames=auto",
        "--xdp-mode=generic",
        "--zero-copy=off",
        "--huge-pages=require",
        "--umem-frames=2048",
        "--features-multi-buffer=auto",
        "--features-tx-metadata=auto",
        "--features-tx-budget=auto",
        "--features-need-wakeup=auto",
        "--uplink-device=eth8",
        "--tunnel-encapsulation=vxlan",
        "--tunnel-vni=8",
        "--tunnel-port=8472",
        "--services-cidrs=10.97.0.0/16,fd00:97::/112",
        "--services-choice=random",
        "--services-external-ips=on",
        "--services-node-port-addresses=all",
        "--services-proxy-name=another",
        "--services-removed-endpoints=reset",
        "--masquerade-outside=on",
        "--masquerade-excluded=10.1.0.0/16",
        "--masquerade-ports=51000-51999",
        "--connections-max=4096",
        "--connections-pod-share=8",
        "--cni-conf-dir=/etc/cni/net.d",
        "--cni-bin-dir=/opt/cni/bin",
        "--cni-plugin=/usr/bin/sluice-cni",
        "--cni-network=sluice",
        "--cni-version=1.1.0",
        "--http=127.0.0.1:0",
        "--log-format=text",
        "--log-level=warn",
    ];
    let over_a_file = load(WHOLE, &flags).unwrap();
    let alone = Config::load(args(&flags), &surroundings()).unwrap();
    assert_eq!(over_a_file, alone);
    assert_eq!(alone.cores, [0, 3]);
    // Each flag sets a key: no value of the file is left.
    let (file, flagged) = (load(WHOLE, &[]).unwrap().to_yaml().unwrap(), alone.to_yaml().unwrap());
    for line in file.lines().filter(|line| !line.ends_with(':') && !line.contains("- 0")) {
        assert!(!flagged.lines().any(|other| other == line), "{line} has no flag");
    }
    Args::command().debug_assert();
}

#[test]
fn what_is_printed_reads_back_the_same() {
    for text in ["source: {directory: /m}", WHOLE, "source: {kubernetes: {kubeconfig: /k}}", KUBERNETES] {
        let config = load(text, &[]).unwrap();
        let printed = config.to_yaml().unwrap();
        assert_eq!(load(&printed, &[]).unwrap(), config, "{printed}");
    }
    assert!(args(&["--print-config"]).print_config);
}

const KUBERNETES: &str = "source: {kubernetes: {kubeconfig: /k, context: c, server: 'https://192.0.2.10:6443'}}";

#[test]
fn the_kubernetes_api_is_a_source_beside_a_directory() {
    let kubernetes = |kubeconfig: &str, context: &str, server: &str| {
        let (context, server) = (Some(context.to_owned()), Some(server.to_owned()));
        Source::Kubernetes(Kubernetes { kubeconfig: Some(kubeconfig.into()), context, server, ..Kubernetes::default() })
    };
    let of_file = kubernetes("/k", "c", "https://192.0.2.10:6443");
    assert_eq!(load(KUBERNETES, &[]).unwrap().source, of_file);
    let flags = [
        "--source-kubernetes-kubeconfig=/l",
        "--source-kubernetes-context=d",
        "--source-kubernetes-server=http://[::1]:8080",
    ];
    let flagged = kubernetes("/l", "d", "http://[::1]:8080");
    assert_eq!(load(KUBERNETES, &flags).unwrap().source, flagged);
    assert_eq!(load("", &flags).unwrap().source, flagged);
    let server_alone = load(KUBERNETES, &flags[2..]).unwrap().source;
    assert_eq!(server_alone, kubernetes("/k", "c", "http://[::1]:8080"), "flags go over the file key by key");
    assert_eq!(load(WHOLE, &flags).unwrap().source, flagged, "a flag of one source takes the place of the other");
    assert_eq!(load(KUBERNETES, &["--source-directory=/n"]).unwrap().source, Source::Directory("/n".into()));
}

#[test]
fn how_long_the_kubernetes_api_is_waited_for_is_told_in_seconds() {
    let of = |text: &str, flags: &[&str]| match load(text, flags).unwrap().source {
        Source::Kubernetes(Kubernetes { answer_timeout, quiet_timeout, events_per_minute, .. }) => {
            (answer_timeout.as_secs(), quiet_timeout.as_secs(), events_per_minute)
        }
        Source::Directory(directory) => panic!("{directory:?}"),
    };
    assert_eq!(of(KUBERNETES, &[]), (30, 90, 20));
    let text = "source: {kubernetes: {kubeconfig: /k, answerTimeout: 2, quietTimeout: 7, eventsPerMinute: 5}}";
    assert_eq!(of(text, &[]), (2, 7, 5));
    let flags = ["answer-timeout=3", "quiet-timeout=8", "events-per-minute=6"];
    let flags = flags.map(|flag| format!("--source-kubernetes-{flag}"));
    assert_eq!(of(text, &flags.each_ref().map(String::as_str)), (3, 8, 6));
}

#[test]
fn in_a_pod_the_service_account_is_the_source_unless_something_else_is() {
    let source = |text: &str, in_cluster: bool| {
        let around = Surroundings { in_cluster, ..surroundings() };
        Config::check(parse(Path::new("c"), text).unwrap(), &around).map(|config| config.source)
    };
    let own = Source::Kubernetes(Kubernetes::default());
    assert_eq!(source("log: {level: info}", true).unwrap(), own);
    assert_eq!(source("source: {kubernetes: {}}", true).unwrap(), own);
    let server = "https://api.example:6443".to_owned();
    let past_the_service = Source::Kubernetes(Kubernetes { server: Some(server.clone()), ..Kubernetes::default() });
    assert_eq!(source(&format!("source: {{kubernetes: {{server: '{server}'}}}}"), true).unwrap(), past_the_service);
    assert_eq!(source("source: {directory: /m}", true).unwrap(), Source::Directory("/m".into()));
    assert!(matches!(source("log: {level: info}", false), Err(ConfigError::NoSource)));
    assert!(matches!(source("source: {kubernetes: {}}", false), Err(ConfigError::NoKubeconfig)));
}

#[test]
fn a_source_that_cannot_be_is_refused_with_key_and_remedy() {
    let refused = |lines: &str| load(lines, &[]).unwrap_err().to_string();
    assert!(refused("").contains("source is missing") && refused("").contains("source.directory"));
    for (source, said) in [
        ("directory: /m, kubernetes: {kubeconfig: /k}", "both set"),
        ("directory: m", "source.directory \"m\" is not absolute"),
        ("kubernetes: {kubeconfig: k}", "source.kubernetes.kubeconfig \"k\" is not absolute"),
        ("kubernetes: {context: c}", "source.kubernetes.context \"c\" is in no file"),
        ("kubernetes: {kubeconfig: /k, server: '192.0.2.10:6443'}", "\"192.0.2.10:6443\" is no URL of a server"),
        ("kubernetes: {kubeconfig: /k, server: 'ftp://a'}", "\"ftp://a\" is no URL"),
        ("kubernetes: {kubeconfig: /k, answerTimeout: 0}", "source.kubernetes.answerTimeout 0 is outside 1 to 600"),
        ("kubernetes: {kubeconfig: /k, quietTimeout: 3601}", "source.kubernetes.quietTimeout 3601 is outside"),
        ("kubernetes: {kubeconfig: /k, eventsPerMinute: 0}", "source.kubernetes.eventsPerMinute 0 is outside"),
    ] {
        let refused = refused(&format!("source: {{{source}}}"));
        assert!(refused.contains(said), "{refused:?} should say {said:?}");
    }
}

#[test]
fn an_unknown_key_is_refused_by_name_file_and_line() {
    let said = refusal("podMTU: 1500");
    assert!(said.contains("config.yaml:2:") && said.contains("podMTU"), "{said}");
    let nested = refusal("log:\n  format: text\n  colour: red");
    assert!(nested.contains("config.yaml:4:") && nested.contains("colour"), "{nested}");
    assert!(Args::try_parse_from(["sluiced", "--colour=red"]).is_err());
}

#[test]
fn a_file_that_is_not_yaml_or_not_there_is_refused_with_its_name() {
    let said = refusal("cores: [0, 1");
    assert!(said.contains("config.yaml:"), "{said}");
    let wrong_type = refusal("\npodMtu: large");
    assert!(wrong_type.contains("config.yaml:3:"), "{wrong_type}");
    let wrong_value = refusal("idle: sleepy");
    assert!(wrong_value.contains("config.yaml:2:") && wrong_value.contains("sleepy"), "{wrong_value}");
    assert!(refusal("podMtu: -1").contains("config.yaml:2:"));
    let missing = Args { config: Some("/does/not/exist.yaml".into()), ..Args::default() };
    let said = Config::load(missing, &surroundings()).unwrap_err().to_string();
    assert!(said.contains("/does/not/exist.yaml"), "{said}");
}

#[test]
fn the_nodes_name_comes_from_key_then_environment_then_host() {
    let name = |key: Option<&str>, environment: Option<&str>, hostname: Option<&str>| {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let keys = Keys { node_name: owned(key), source: SourceKeys::of_directory("/m"), ..Keys::default() };
        let around =
            Surroundings { node_name: owned(environment), hostname: owned(hostname), cores: vec![0], ..surroundings() };
        Config::check(keys, &around).map(|config| config.node_name.as_str().to_owned())
    };
    assert_eq!(name(Some("a"), Some("b"), Some("c")).unwrap(), "a");
    assert_eq!(name(None, Some("b"), Some("c")).unwrap(), "b");
    assert_eq!(name(None, Some(""), Some("C")).unwrap(), "c");
    assert!(matches!(name(None, None, None), Err(ConfigError::NoNodeName)));
    assert!(matches!(name(Some("a_b"), None, None), Err(ConfigError::BadNodeName { .. })));
    assert!(matches!(name(Some(""), Some("b"), None), Err(ConfigError::BadNodeName { .. })));
}

#[test]
fn cores_that_are_not_there_are_refused_with_those_that_are() {
    let said = refusal("cores: [0, 2]");
    assert!(said.contains("no core 2") && said.contains("[0, 1, 3]"), "{said}");
    assert!(refusal("cores: [1, 1]").contains("core 1 is named twice"));
    assert!(refusal("cores: []").contains("cores is empty"));
    let none = Surroundings { cores: Vec::new(), ..surroundings() };
    let keys = Keys { source: SourceKeys::of_directory("/m"), ..Keys::default() };
    assert!(matches!(Config::check(keys.clone(), &none), Err(ConfigError::NoCores { .. })));
    let many = Surroundings { cores: (0..300).collect(), ..surroundings() };
    let keys = Keys { cores: Some((0..257).collect()), ..keys };
    assert!(matches!(Config::check(keys, &many), Err(ConfigError::OutOfRange { value: 257, .. })));
}

#[test]
fn numbers_outside_their_range_are_refused_with_the_range() {
    for (lines, range) in [
        ("podMtu: 1279", "podMtu 1279 is outside 1280 to 9000"),
        ("podMtu: 9001", "podMtu 9001 is outside 1280 to 9000"),
        ("umemFrames: 1023", "umemFrames 1023 is outside 1024 to 1048576"),
        ("umemFrames: 1048577", "umemFrames 1048577 is outside 1024 to 1048576"),
    ] {
        assert_eq!(refusal(lines), range);
    }
}

#[test]
fn what_the_network_cannot_be_is_refused_with_key_and_remedy() {
    for (lines, said) in [
        ("uplink: {device: 'eth0/1'}", "uplink.device \"eth0/1\" is no name of a device"),
        ("uplink: {device: a-name-that-is-too-long}", "1 to 15 letters"),
        ("tunnel: {vni: 0}", "tunnel.vni 0 is outside 1 to 16777215"),
        ("tunnel: {port: 65536}", "tunnel.port 65536 is outside 1 to 65535"),
        ("services: {cidrs: [10.96.0.1/16]}", "services.cidrs: \"10.96.0.1/16\" is no network"),
        ("services: {nodePortAddresses: [primary, all]}", "services.nodePortAddresses: \"primary\" is no network"),
        ("masquerade: {ports: 80-90}", "masquerade.ports \"80-90\" is no range of ports from 1024"),
        ("masquerade: {ports: 6000-5000}", "write the first and the last"),
        ("connections: {max: 1000}", "connections.max 1000 is outside 1024 to 16777216"),
        ("connections: {podShare: 0}", "connections.podShare 0 is outside 1 to 100"),
    ] {
        let refused = refusal(lines);
        assert!(refused.contains(said), "{refused:?} should say {said:?}");
    }
}

#[test]
fn node_ports_are_served_at_the_addresses_chosen() {
    let of = |written: &str| {
        let text = format!("source: {{directory: /m}}\nservices: {{nodePortAddresses: {written}}}");
        load(&text, &[]).unwrap().network.node_port_addresses
    };
    assert_eq!((of("[primary]"), of("[all]")), (NodePortAddresses::Primary, NodePortAddresses::All));
    assert_eq!(of("[203.0.113.0/24]"), NodePortAddresses::Ranges(vec!["203.0.113.0/24".parse().unwrap()]));
}

#[test]
fn directories_must_be_absolute_and_fit_a_socket() {
    assert!(refusal("runDir: run").contains("runDir \"run\" is not absolute"));
    assert!(refusal("stateDir: state").contains("stateDir"));
    assert!(load("source: {directory: m}", &[]).unwrap_err().to_string().contains("source.directory"));
    assert!(refusal(&format!("runDir: /{}", "r".repeat(94))).contains("more than 94 bytes"));
    assert!(load(&format!("source: {{directory: /m}}\nrunDir: /{}", "r".repeat(93)), &[]).is_ok());
}

#[test]
fn the_listen_address_must_be_one() {
    for bad in ["localhost:80", "127.0.0.1", "127.0.0.1:99999", "':80'"] {
        assert!(refusal(&format!("http: {bad}")).contains("127.0.0.1:9810"), "{bad}");
    }
}

/// A text that is refused, or gives a configuration which is printed and read as it is.
fn exercise(text: &str) {
    let Ok(keys) = parse(Path::new("config.yaml"), text) else { return };
    let Ok(config) = Config::check(keys, &surroundings()) else { return };
    let yaml = config.to_yaml().unwrap();
    let again = Config::check(parse(Path::new("config.yaml"), &yaml).unwrap(), &surroundings());
    assert_eq!(again.unwrap(), config, "{yaml}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_text_is_refused_or_taken(text in "(\\PC|\n|\t){0,80}") {
        exercise(&text);
    }

    #[test]
    fn a_good_file_with_changes_is_refused_or_taken(
        changes in vec((any::<Index>(), select("\n :-[]{}&*!|>'\"#%,\\019az".chars().collect::<Vec<_>>())), 1..5),
        cut in any::<Index>(),
    ) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, letter) in changes {
            let at = at.index(text.len());
            text[at] = letter;
        }
        text.remove(cut.index(text.len()));
        exercise(&text.into_iter().collect::<String>());
    }
}
