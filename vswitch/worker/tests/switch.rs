//! The switch's own threads over ports in plain memory.
use std::sync::Arc;

use sluice_tables::{PortId, Publisher, TablesBuilder};
use sluice_worker::{IdlePolicy, Switch, SwitchConfig, SwitchError};
use sluice_xsk::pair::pair;
use sluice_xsk::{Features, HugePages, Port, Umem, UmemConfig};

const FRAMES: u32 = 1024;

fn umem() -> Arc<Umem> {
    Umem::new(UmemConfig { frames: FRAMES, huge_pages: HugePages::Off }).unwrap()
}

fn port(umem: &Arc<Umem>) -> Port {
    pair(umem, 64, Features::default()).unwrap().0
}

/// A switch of `workers` that share the first core of this process.
fn switch(workers: usize, umem: &Arc<Umem>) -> Switch {
    let publisher = Publisher::new(TablesBuilder::new(0, 0).build().unwrap());
    let core = core_affinity::get_core_ids().unwrap()[0].id;
    let config = SwitchConfig {
        cores: vec![core; workers],
        idle: IdlePolicy::default(),
        path: Default::default(),
        shared: Default::default(),
        join: true,
    };
    Switch::start(config, umem.clone(), &publisher).unwrap()
}

#[test]
fn ports_come_and_go_and_the_end_gives_back_every_frame() {
    let umem = umem();
    let switch = switch(3, &umem);
    for id in [PortId(0), PortId(1), PortId(u16::MAX)] {
        assert_eq!(switch.add_port(id, port(&umem)).unwrap(), switch.worker_for(id));
    }
    assert!(switch.remove_port(PortId(1)).unwrap() > 0);
    assert!(matches!(switch.remove_port(PortId(1)), Err(SwitchError::NotAttached(PortId(1)))));
    switch.add_port(PortId(1), port(&umem)).unwrap();
    assert_eq!(switch.dead(), []);
    switch.stop().unwrap();
    assert_eq!(umem.census().depot, FRAMES as usize);
}

#[test]
fn a_port_that_is_refused_is_closed() {
    let (umem, other) = (umem(), umem());
    let switch = switch(1, &umem);
    switch.add_port(PortId(7), port(&umem)).unwrap();
    let held = umem.census().kernel;
    assert!(matches!(switch.add_port(PortId(7), port(&umem)), Err(SwitchError::Attached(PortId(7)))));
    assert!(matches!(switch.add_port(PortId(8), port(&other)), Err(SwitchError::OtherMemory(PortId(8)))));
    assert_eq!((umem.census().kernel, other.census().kernel), (held, 0));
    assert_eq!(switch.ports_counters().len(), 1);
    drop(switch);
    assert_eq!(umem.census().depot, FRAMES as usize);
}
