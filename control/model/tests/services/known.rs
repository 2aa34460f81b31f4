//! What does not change from one generation to the next is shared.

use std::sync::Arc;

use serde_json::{Value, json};
use sluice_model::{Compiler, Family, Index, Key, Object, PeersConfig, ServicesConfig, Setting};
use sluice_tables::{Service, Services};

use crate::scene::*;

fn slice(service: &str, addresses: &[&str]) -> Object {
    let endpoints: Vec<Value> = addresses.iter().map(|address| mk_endpoint(address, "n2")).collect();
    mk_slice(service, service, &endpoints, Value::Null)
}

fn made(compiler: &mut Compiler, index: &mut Index) -> Arc<Services> {
    let node = n1(index).clone();
    let services = ServicesConfig::default();
    let peers = PeersConfig::of(Family::V4);
    compiler.compile(index, &Setting { node: &node, attachments: &[], services: &services, peers: &peers, seed: 7 });
    assert!(compiler.faults().is_empty(), "{:?}", compiler.faults());
    Arc::clone(compiler.services())
}

fn named<'a>(services: &'a Services, name: &str) -> &'a Arc<Service> {
    services.iter().find(|service| service.name().as_ref() == name).expect("is there")
}

#[test]
fn a_service_is_made_anew_only_when_something_of_it_changes() {
    let mut index = index([mk_service("a", 1, Value::Null), mk_service("b", 2, Value::Null)]);
    index.apply(slice("a", &["10.1.2.5"]));
    index.apply(slice("b", &["10.1.2.6"]));
    let mut compiler = Compiler::new();
    let before = made(&mut compiler, &mut index);
    index.apply(slice("a", &["10.1.2.5", "10.1.2.7"]));
    let after = made(&mut compiler, &mut index);
    let same = |name: &str| Arc::ptr_eq(named(&before, name), named(&after, name));
    assert_eq!((same("default/a:80"), same("default/b:80")), (false, true));
    assert_eq!(named(&after, "default/a:80").cluster().len(), 2);
}

#[test]
fn every_property_of_a_service_is_heeded() {
    let (mut index, mut compiler) = (index([]), Compiler::new());
    let mut last: Option<Arc<Service>> = None;
    for change in [
        Value::Null,
        json!({"spec": {"internalTrafficPolicy": "Local"}}),
        json!({"spec": {"externalTrafficPolicy": "Local"}}),
        json!({"spec": {"sessionAffinity": "ClientIP"}}),
        json!({"spec": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}}),
        json!({"spec": {"loadBalancerSourceRanges": ["10.0.0.0/9"]}}),
    ] {
        index.apply(mk_service("a", 1, change.clone()));
        let services = made(&mut compiler, &mut index);
        let service = Arc::clone(named(&services, "default/a:80"));
        assert!(last.is_none_or(|last| !Arc::ptr_eq(&last, &service)), "{change}");
        last = Some(service);
    }
}

#[test]
fn a_service_that_went_is_forgotten() {
    let (mut index, mut compiler) = (index([mk_service("a", 1, Value::Null)]), Compiler::new());
    let first = made(&mut compiler, &mut index);
    let service = index.services().next().expect("is there").name.clone();
    index.delete(&Key::Service(service)).expect("is there");
    assert_eq!(made(&mut compiler, &mut index).iter().len(), 0);
    index.apply(mk_service("a", 1, Value::Null));
    let again = made(&mut compiler, &mut index);
    assert!(!Arc::ptr_eq(named(&first, "default/a:80"), named(&again, "default/a:80")));
}

#[test]
fn ten_thousand_services_with_a_hundred_thousand_endpoints_are_compiled() {
    let mut index = index([]);
    for n in 0..10_000_usize {
        let name = format!("s{n}");
        let address = format!("10.97.{}.{}", n / 250, n % 250 + 1);
        index.apply(mk_service(&name, 1, json!({"spec": {"clusterIP": address}})));
        let endpoints: Vec<Value> =
            (0..10).map(|e| mk_endpoint(&format!("10.2.{}.{}", n % 250, e + 1), "n2")).collect();
        index.apply(mk_slice(&name, &name, &endpoints, Value::Null));
    }
    let services = made(&mut Compiler::new(), &mut index);
    assert_eq!(services.iter().len(), 10_000);
    assert!(services.iter().all(|service| service.cluster().len() == 10));
}
