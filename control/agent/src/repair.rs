//! What to do about what an earlier agent left behind: a pure function from what is remembered and found to actions.
//!
//! The agent that went may have been stopped (its pods' devices are to be taken over), killed in the middle of an ADD
//! (devices without a remembered attachment) or of a DEL, or the node may have been rebooted (nothing is left).

use sluice_cni_protocol::AttachmentId;
use sluice_host::{Link, LinkIndex, LinkKind};

use crate::link_name::is_host_link_name;

/// An attachment that the state file remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Which.
    pub(crate) attachment: AttachmentId,
    /// Name of the node's end of its veth.
    pub(crate) host_link: String,
    /// What is in its namespace now.
    pub(crate) sandbox: Sandbox,
}

/// What was found at the path of a pod's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// No namespace is there any more.
    Gone,
    /// The namespace has no device of the interface's name.
    Empty,
    /// The device is a veth whose other end has this number on the node.
    Wired(LinkIndex),
    /// The device of that name is something else, so this is another pod's namespace at the same path.
    Foreign,
    /// It could not be looked at.
    Unreadable(String),
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Delete a device that belongs to nothing.
    DeleteLink(LinkIndex, String),
    /// Forget the attachment and free its addresses.
    Release(AttachmentId),
    /// Bind the switch to the device that is there.
    TakeOver(AttachmentId, LinkIndex),
    /// Make the pod's device again as it was, with its addresses.
    Remake(AttachmentId),
    /// Keep the addresses and leave everything as it is; the reason is for the log.
    Leave(AttachmentId, String),
}

/// What to do, in an order that works: deletions first, so that a name is free when it is needed.
pub(crate) fn plan(remembered: &[Remembered], links: &[Link]) -> Vec<Action> {
    let mut deletions: Vec<Action> = links
        .iter()
        .filter(|link| is_ours(link) && !remembered.iter().any(|r| r.host_link == link.name))
        .map(delete)
        .collect();
    let mut rest = Vec::new();
    for one in remembered {
        let link = links.iter().find(|link| link.name == one.host_link);
        let id = one.attachment.clone();
        match (&one.sandbox, link) {
            (Sandbox::Wired(end), Some(link)) if *end == link.index => rest.push(Action::TakeOver(id, link.index)),
            (Sandbox::Unreadable(why), _) => rest.push(Action::Leave(id, why.clone())),
            (Sandbox::Empty, link) => {
                deletions.extend(link.map(delete));
                rest.push(Action::Remake(id));
            }
            (Sandbox::Gone | Sandbox::Foreign | Sandbox::Wired(_), link) => {
                deletions.extend(link.map(delete));
                rest.push(Action::Release(id));
            }
        }
    }
    deletions.append(&mut rest);
    deletions
}

fn is_ours(link: &Link) -> bool {
    link.kind == LinkKind::Veth && is_host_link_name(&link.name)
}

fn delete(link: &Link) -> Action {
    Action::DeleteLink(link.index, link.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "slu0000000000a";

    fn attachment() -> AttachmentId {
        AttachmentId {
            container_id: "c1".to_owned().try_into().unwrap(),
            ifname: "eth0".to_owned().try_into().unwrap(),
        }
    }

    fn remembered(sandbox: Sandbox) -> [Remembered; 1] {
        [Remembered { attachment: attachment(), host_link: NAME.into(), sandbox }]
    }

    fn link(index: u32, name: &str, kind: LinkKind) -> Link {
        Link {
            index: LinkIndex(index),
            name: name.into(),
            kind,
            mac: None,
            mtu: 1500,
            up: true,
            running: true,
            alias: None,
            master: None,
            peer: None,
            peer_elsewhere: true,
            gso_max_size: 0,
            gso_ipv4_max_size: 0,
            tx_queues: 1,
            rx_queues: 1,
            qdisc: "pfifo".into(),
        }
    }

    fn veth(index: u32, name: &str) -> Link {
        link(index, name, LinkKind::Veth)
    }

    fn delete_of(index: u32, name: &str) -> Action {
        Action::DeleteLink(LinkIndex(index), name.into())
    }

    #[test]
    fn a_pod_that_is_still_wired_is_taken_over() {
        let plan = plan(&remembered(Sandbox::Wired(LinkIndex(7))), &[veth(7, NAME)]);
        assert_eq!(plan, [Action::TakeOver(attachment(), LinkIndex(7))]);
    }

    #[test]
    fn a_device_without_an_attachment_is_deleted_and_others_are_left() {
        let links = [
            veth(3, "slu0000000000b"),
            link(4, "slu0000000000c", LinkKind::Bridge),
            veth(5, "veth0"),
            veth(6, "sluice_host"),
        ];
        assert_eq!(plan(&[], &links), [delete_of(3, "slu0000000000b")]);
    }

    #[test]
    fn a_pod_whose_namespace_is_gone_is_released() {
        assert_eq!(plan(&remembered(Sandbox::Gone), &[]), [Action::Release(attachment())]);
        let held_by_a_process = plan(&remembered(Sandbox::Gone), &[veth(7, NAME)]);
        assert_eq!(held_by_a_process, [delete_of(7, NAME), Action::Release(attachment())]);
    }

    #[test]
    fn a_namespace_that_is_another_pods_now_is_not_touched() {
        for sandbox in [Sandbox::Foreign, Sandbox::Wired(LinkIndex(9))] {
            let plan = plan(&remembered(sandbox), &[veth(7, NAME)]);
            assert_eq!(plan, [delete_of(7, NAME), Action::Release(attachment())]);
        }
    }

    #[test]
    fn a_pod_that_lost_its_device_gets_it_again() {
        assert_eq!(plan(&remembered(Sandbox::Empty), &[]), [Action::Remake(attachment())]);
        let half = plan(&remembered(Sandbox::Empty), &[veth(7, NAME)]);
        assert_eq!(half, [delete_of(7, NAME), Action::Remake(attachment())]);
    }

    #[test]
    fn what_cannot_be_looked_at_keeps_its_addresses() {
        let plan = plan(&remembered(Sandbox::Unreadable("EIO".into())), &[veth(7, NAME)]);
        assert_eq!(plan, [Action::Leave(attachment(), "EIO".into())]);
    }

    #[test]
    fn after_a_reboot_everything_is_released_and_nothing_deleted() {
        let links = [link(1, "lo", LinkKind::Plain), link(2, "eth0", LinkKind::Plain)];
        assert_eq!(plan(&remembered(Sandbox::Gone), &links), [Action::Release(attachment())]);
    }
}
