//! Session affinity by client address.

use sluice_wire::protocol::UDP;

use crate::rig::*;

#[test]
fn a_client_with_affinity_is_given_its_backend_whatever_its_port_and_frontend_until_the_backend_is_gone() {
    let backends = [(B, 1), (B, 2), (B, 3), (B, 4), (B, 5), (B, 6), (B, 7), (B, 8)];
    let mut bed =
        Bed::new(Setup { services: vec![Svc { affinity: Some(100), ..service(UDP, &backends) }], ..Setup::default() });
    let backend = |got: Got| {
        let frame = got.frame();
        sluice_wire::parse::parse(&frame, frame.len()).expect("a packet").destination_port
    };
    let first = backend(bed.send(A, &up(false, A, VIP).udp(1000, 80, b"")));
    for port in 1001..1040 {
        assert_eq!(backend(bed.send(A, &up(false, A, VIP).udp(port, 80, b""))), first);
        assert_eq!(backend(bed.send(A, &up(false, A, BALANCER).udp(port, 80, b""))), first);
    }
    // Each new connection renews the time.
    for port in 2000..2004 {
        bed.pass(60);
        assert_eq!(backend(bed.send(A, &up(false, A, VIP).udp(port, 80, b""))), first);
    }
    bed.change(|setup| setup.services[0].cluster.retain(|(_, port)| *port != first));
    let second = backend(bed.send(A, &up(false, A, VIP).udp(3000, 80, b"")));
    assert_ne!(second, first);
    bed.change(|setup| setup.services[0].cluster.push((B, first)));
    assert_eq!(backend(bed.send(A, &up(false, A, VIP).udp(3001, 80, b""))), second, "the old entry died");
}
