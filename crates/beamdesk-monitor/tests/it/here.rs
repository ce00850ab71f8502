//! The machine that the tests run on.

use beamdesk_monitor::{Given, Probe, ProbeConfig, Tree, host_name};

#[test]
fn this_machine_has_cpus_memory_and_a_disk() {
    for given in [Given::Passthrough, Given::Host] {
        let mut probe = Probe::new(ProbeConfig::here(given)).unwrap();
        assert_ne!(probe.machine(), Some(""));
        for _ in 0..2 {
            let sample = probe.sample();
            let threads = std::thread::available_parallelism().unwrap();
            assert!(usize::try_from(sample.facts.cpus).unwrap() >= threads.get());
            assert!(sample.facts.memory_mib > 0);
            assert!(sample.facts.memory_mib_used <= sample.facts.memory_mib);
            assert!(
                sample.facts.disk_gib > 0 && sample.facts.disk_gib_used <= sample.facts.disk_gib
            );
            assert!(sample.facts.cpu_busy_permille <= 1000);
            for card in &sample.cards {
                assert!(!card.model.is_empty() && !card.pci_id.is_empty(), "{card:?}");
            }
        }
    }
    assert!(!host_name(&Tree::new("/")).is_empty());
}
