//! What objects cost where they are many or large, for who asks why a node is slow.

use std::collections::BTreeMap;

use sluice_model::{Index, Labels, NamespaceName, NetworkPolicy, NodeName, PodName};

use super::Generations;

/// Labels that a pod may have before it is told of: each set is an identity, and is compared with each selector.
pub(crate) const MANY_LABELS: usize = 64;

/// What objects cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// What selects each attached pod that any policy selects, by pod.
    pub(crate) selected: BTreeMap<PodName, Selected>,
    /// Pods of the cluster with more labels than [`MANY_LABELS`].
    pub(crate) with_many_labels: usize,
    /// The one with the most, if it has that many, and how many.
    pub(crate) most_labels: Option<(PodName, usize)>,
}

/// What selects a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Selected {
    /// Policies.
    pub(crate) policies: usize,
    /// Their ingress and egress rules.
    pub(crate) rules: usize,
}

impl Load {
    /// The pod that most policies select.
    pub(crate) fn most_selected(&self) -> Option<(&PodName, Selected)> {
        self.selected.iter().map(|(pod, selected)| (pod, *selected)).max_by_key(|(_, selected)| *selected)
    }

    fn of(index: &Index, node: &NodeName, attached: impl Iterator<Item = PodName>) -> Load {
        // Pods of one kind have the same labels, and the same policies.
        let mut known: BTreeMap<(&NamespaceName, &Labels), Selected> = BTreeMap::new();
        let pods = attached.filter_map(|name| index.pod(&name).filter(|pod| pod.node.as_ref() == Some(node)));
        let selected = pods.map(|pod| {
            let key = (pod.name.namespace(), &pod.labels);
            let selected = known.entry(key).or_insert_with(|| selecting(index, key.0, key.1));
            (pod.name.clone(), *selected)
        });
        let selected = selected.filter(|(_, selected)| selected.policies > 0).collect();
        let many = || index.pods().filter(|pod| pod.labels.len() > MANY_LABELS);
        let most = many().max_by_key(|pod| pod.labels.len());
        Load {
            selected,
            with_many_labels: many().count(),
            most_labels: most.map(|pod| (pod.name.clone(), pod.labels.len())),
        }
    }
}

fn selecting(index: &Index, namespace: &NamespaceName, labels: &Labels) -> Selected {
    let rules =
        |policy: &NetworkPolicy| [&policy.ingress, &policy.egress].into_iter().flatten().map(Vec::len).sum::<usize>();
    let selecting = index.network_policies_of(namespace).filter(|policy| policy.subjects.matches(labels));
    selecting.fold(Selected::default(), |sum, policy| Selected {
        policies: sum.policies + 1,
        rules: sum.rules + rules(policy),
    })
}

impl Generations {
    /// What the objects in force cost. Looks at each pod of the cluster once.
    pub(crate) fn load(&self) -> Load {
        let inner = self.lock();
        let attached = inner.attached.iter().map(|attachment| attachment.pod.clone());
        inner.objects.index().map(|index| Load::of(index, &inner.node.name, attached)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sluice_model::Object;

    use super::*;

    fn object(value: Value) -> Object {
        serde_json::from_str(&value.to_string()).expect("an object")
    }

    fn pod(name: &str, node: &str, labels: &Labels) -> Object {
        let metadata = json!({"name": name, "namespace": "demo", "labels": labels});
        object(json!({"Pod": {"metadata": metadata, "spec": {"nodeName": node, "containers": [{"name": "c"}]}}}))
    }

    fn policy(name: &str, selector: Value, rules: usize) -> Object {
        let ingress = vec![json!({"from": [{"podSelector": {}}]}); rules];
        let spec = json!({"podSelector": selector, "policyTypes": ["Ingress"], "ingress": ingress});
        object(json!({"NetworkPolicy": {"metadata": {"name": name, "namespace": "demo"}, "spec": spec}}))
    }

    #[test]
    fn what_selects_the_pods_here_is_counted_and_who_has_the_most_labels_anywhere() {
        let labels = |first: &str, count: usize| -> Labels {
            let more = (1..count).map(|number| (format!("l{number}"), String::new()));
            more.chain([("app".to_owned(), first.to_owned())]).collect()
        };
        let mut index = Index::new();
        for object in [
            pod("web", "n1", &labels("web", 1)),
            pod("db", "n1", &labels("db", MANY_LABELS)),
            pod("away", "n2", &labels("web", MANY_LABELS + 1)),
            pod("odd", "n2", &labels("odd", 5 * MANY_LABELS)),
            policy("all", json!({}), 3),
            policy("none", json!({"matchLabels": {"app": "nobody"}}), 5),
            policy("web", json!({"matchLabels": {"app": "web"}}), 1),
        ] {
            index.apply(object);
        }
        let name = |name: &str| PodName::parse("demo", name).expect("a name");
        let attached = ["web", "db", "away", "unknown"].map(name);
        let load = Load::of(&index, &NodeName::new("n1").expect("a name"), attached.into_iter());
        let (web, db) = (Selected { policies: 2, rules: 4 }, Selected { policies: 1, rules: 3 });
        assert_eq!(load.selected, BTreeMap::from([(name("web"), web), (name("db"), db)]));
        assert_eq!(load.most_selected(), Some((&name("web"), web)));
        assert_eq!((load.with_many_labels, load.most_labels), (2, Some((name("odd"), 5 * MANY_LABELS))));
        assert_eq!(Load::of(&Index::new(), &NodeName::new("n1").expect("a name"), std::iter::empty()), Load::default());
    }
}
