//! What we make of machines that people have.

use super::machines;
use super::*;

fn machine(description: &Description) -> Machine {
    machine_with(description, "all")
}

fn machine_with(description: &Description, domain: &str) -> Machine {
    let domain = domain.parse().expect("a domain");
    Machine::new(description, &domain).expect("a domain of this machine")
}

impl Machine {
    fn numbers(&self, is_in: impl Fn(&Place) -> bool) -> Vec<usize> {
        (0..self.places.len()).filter(|&id| is_in(&self.places[id])).collect()
    }

    fn strong(&self) -> Vec<usize> {
        self.numbers(|place| place.is_strong)
    }

    fn primary(&self) -> Vec<usize> {
        self.numbers(|place| place.is_primary)
    }
}

fn range(first: usize, end: usize) -> Vec<usize> {
    (first..end).collect()
}

fn all_machines() -> Vec<Description> {
    use machines::*;
    vec![
        i9_13900k(),
        core_ultra_285k(),
        core_ultra_155h(),
        i7_1255u(),
        ryzen_7950x3d(),
        ryzen_7950x3d_preferring_frequency(),
        ryzen_7950x(),
        ryzen_hx_370(),
        steam_deck(),
        steam_deck_with_holes(),
        server(),
        snapdragon_8_gen_2(),
        uniprocessor(),
        vm_of_two(),
        vm_of_two_nodes(),
    ]
}

#[test]
fn the_game_does_not_belong_on_efficiency_cores_and_a_hole_is_no_cpu() {
    assert_eq!(machine(&machines::i9_13900k()).weak_cpus(), range(16, 32));
    assert!(machine(&machines::ryzen_7950x()).weak_cpus().is_empty());
    assert!(machine(&machines::steam_deck_with_holes()).weak_cpus().is_empty());
}

#[test]
fn on_every_machine_the_arrays_hold_together() {
    for description in all_machines() {
        for domain in ["all", "turbo", "performance", "powersave", "0"] {
            let machine = machine_with(&description, domain);
            assert_eq!(machine.places.len(), description.nr_cpu_ids);
            let mut order: Vec<usize> = machine.scan_order.iter().map(|&id| id.into()).collect();
            order.sort_unstable();
            assert_eq!(order, range(0, description.nr_cpu_ids), "every number once");
            assert_eq!(machine.is_asymmetric, machine.strong().len() < machine.places.len());
            assert!(!machine.primary().is_empty() && !machine.strong().is_empty());
            for (id, place) in machine.places.iter().enumerate() {
                let sibling = &machine.places[place.sibling as usize];
                assert_eq!((sibling.llc, sibling.node), (place.llc, place.node), "CPU {id} and its sibling");
                assert!((place.llc as usize) < machine.nr_llcs && (place.node as usize) < machine.nr_nodes);
                assert!((1..=CAPACITY_MAX).contains(&place.capacity), "CPU {id}: {}", place.capacity);
            }
            assert!(machine.places.iter().any(|place| place.capacity == CAPACITY_MAX));
        }
    }
}

#[test]
fn machines_whose_cores_are_alike_have_no_strong_ones() {
    use machines::*;
    for description in [steam_deck(), server(), uniprocessor(), vm_of_two(), vm_of_two_nodes()] {
        assert!(!machine(&description).is_asymmetric, "{description:?}");
    }
}

#[test]
fn a_ranking_of_preferred_cores_makes_no_core_weak() {
    let machine = machine(&machines::ryzen_7950x());
    assert!(!machine.is_asymmetric);
    assert!(machine.places.iter().any(|place| place.capacity < 750), "the ranking does span that much");
}

#[test]
fn the_p_cores_of_a_hybrid_are_strong_and_their_favoured_cores_are_first() {
    let machine = machine(&machines::i9_13900k());
    assert_eq!(machine.strong(), range(0, 16));
    assert_eq!(machine.scan_order[..10], [8, 10, 0, 2, 4, 6, 12, 14, 16, 17]);
    assert_eq!(machine.scan_order[24..28], [9, 11, 1, 3], "second threads come after every first one");
    assert_eq!((machine.nr_llcs, machine.nr_nodes, machine.has_smt), (1, 1, true));
    assert_eq!((machine.places[4].sibling, machine.places[5].sibling, machine.places[20].sibling), (5, 4, 20));
}

#[test]
fn an_efficiency_core_is_weak_however_high_it_clocks() {
    let machine = machine(&machines::core_ultra_285k());
    assert_eq!(machine.strong(), range(0, 8));
    assert!(!machine.has_smt);
}

#[test]
fn low_power_cores_are_the_weakest_of_three_kinds() {
    let machine = machine(&machines::core_ultra_155h());
    assert_eq!(machine.strong(), range(0, 12));
    assert_eq!(machine.scan_order[14..16], [20, 21], "last of the first threads");
    assert_eq!(machine.nr_llcs, 2);
}

#[test]
fn too_few_p_cores_take_the_next_kind_with_them() {
    let laptop = machine(&machines::i7_1255u());
    assert!(!laptop.is_asymmetric, "two P cores are too few, and with eight E cores these are all");
    assert_eq!(laptop.scan_order[..3], [0, 2, 4], "the P cores are first all the same");
    let phone = machine(&machines::snapdragon_8_gen_2());
    assert_eq!(phone.strong(), range(3, 8), "one big core and four middle ones");
    assert_eq!(phone.scan_order[..2], [7, 3]);
}

#[test]
fn without_the_low_power_island_a_small_hybrid_still_has_strong_cores() {
    let mut description = machines::core_ultra_155h();
    description.cpus.retain(|cpu| cpu.core < 2 || cpu.core > 5);
    assert_eq!(machine(&description).strong(), [range(0, 4), range(12, 20)].concat(), "2 P and 8 E, not 2 LP-E");
}

#[test]
fn the_larger_cache_wins_over_frequency_and_ranking() {
    use machines::*;
    for description in [ryzen_7950x3d(), ryzen_7950x3d_preferring_frequency()] {
        let machine = machine(&description);
        assert_eq!(machine.strong(), [range(0, 8), range(16, 24)].concat());
        assert!(machine.scan_order[..8].iter().all(|&id| id < 8), "{:?}", machine.scan_order);
        assert_eq!((machine.places[3].sibling, machine.places[19].sibling, machine.nr_llcs), (19, 3, 2));
    }
}

#[test]
fn zen_5_cores_are_strong_beside_zen_5c() {
    assert_eq!(machine(&machines::ryzen_hx_370()).strong(), [range(0, 4), range(12, 16)].concat());
}

#[test]
fn of_strong_cores_the_kind_decides_before_the_cache() {
    let mut description = machines::ryzen_hx_370();
    for cpu in &mut description.cpus {
        cpu.llc_bytes = if cpu.llc == 0 { 8 << 20 } else { 32 << 20 };
    }
    assert_eq!(machine(&description).strong(), [range(0, 4), range(12, 16)].concat());
}

#[test]
fn caches_of_unknown_size_or_about_the_same_decide_nothing() {
    for bytes in [0, 80 << 20] {
        let mut description = machines::ryzen_7950x3d();
        description.cpus.iter_mut().filter(|cpu| cpu.llc == 1).for_each(|cpu| cpu.llc_bytes = bytes);
        assert!(!machine(&description).is_asymmetric, "{bytes}");
    }
}

#[test]
fn a_large_cache_with_three_cores_is_too_small_for_a_game() {
    let mut description = machines::ryzen_7950x3d();
    description.cpus.retain(|cpu| !(3..8).contains(&cpu.core));
    assert!(!machine(&description).is_asymmetric);
}

#[test]
fn nodes_caches_and_threads_of_a_server_are_told_apart() {
    let machine = machine(&machines::server());
    assert_eq!((machine.nr_nodes, machine.nr_llcs, machine.places.len()), (2, 16, 128));
    assert_eq!((machine.places[31].node, machine.places[32].node, machine.places[127].node), (0, 1, 1));
    assert_eq!((machine.places[35].llc, machine.places[36].llc), (8, 9));
    assert_eq!(machine.scan_order[..65].last(), Some(&64));
}

#[test]
fn with_four_threads_a_core_siblings_form_a_ring() {
    let cpus = (0..8).map(|id| Cpu { id, core: id / 4, ..Cpu::default() }).collect();
    let machine = machine(&Description { nr_cpu_ids: 8, cpus });
    let siblings: Vec<u32> = machine.places.iter().map(|place| place.sibling).collect();
    assert_eq!(siblings, [1, 2, 3, 0, 5, 6, 7, 4]);
    assert_eq!(machine.scan_order, [0, 4, 1, 5, 2, 6, 3, 7]);
}

#[test]
fn absent_cpus_stand_alone_and_come_last() {
    let machine = machine(&machines::steam_deck_with_holes());
    assert_eq!(machine.places.len(), 10);
    assert_eq!(machine.scan_order, [0, 2, 5, 6, 3, 7, 1, 4, 8, 9]);
    assert_eq!((machine.places[0].sibling, machine.places[1].sibling, machine.places[9].sibling), (0, 1, 9));
    assert!(machine.places[9].is_primary && machine.places[9].is_strong);
}

#[test]
fn keywords_mean_kinds_of_cores() {
    let hybrid = machines::core_ultra_155h();
    assert_eq!(machine_with(&hybrid, "turbo").primary(), range(8, 12));
    assert_eq!(machine_with(&hybrid, "performance").primary(), range(0, 12));
    assert_eq!(machine_with(&hybrid, "powersave").primary(), range(12, 22));
    assert_eq!(machine_with(&hybrid, "all").primary(), range(0, 22));
    assert_eq!(machine_with(&machines::ryzen_7950x(), "turbo").primary(), [0, 1, 16, 17]);
}

#[test]
fn keywords_without_a_difference_mean_all_cpus() {
    for domain in ["turbo", "performance", "powersave"] {
        assert_eq!(machine_with(&machines::steam_deck(), domain).primary(), range(0, 8), "{domain}");
    }
}

#[test]
fn the_game_belongs_on_the_strong_ones_of_the_primary_domain() {
    let strong = |description: &Description, domain| machine_with(description, domain).strong();
    let hybrid = machines::core_ultra_155h();
    assert_eq!(strong(&hybrid, "performance"), range(0, 12));
    assert_eq!(strong(&hybrid, "powersave"), range(12, 20), "E but not LP-E");
    assert_eq!(strong(&hybrid, "10-19"), range(10, 20), "one P core is not enough");
    assert_eq!(strong(&machines::ryzen_7950x3d(), "8-15"), range(8, 16));
    assert_eq!(strong(&machines::steam_deck(), "0-1"), range(0, 8), "they are alike");
}

#[test]
fn a_list_may_span_absent_cpus_but_not_name_impossible_ones() {
    let description = machines::steam_deck_with_holes();
    assert_eq!(machine_with(&description, "0-4,9").primary(), [0, 1, 2, 3, 4, 9]);
    let refuse = |list: &str| {
        let domain = list.parse().expect("a list");
        Machine::new(&description, &domain).expect_err(list).to_string()
    };
    assert_eq!(refuse("3,10"), "CPU 10 does not exist, this machine has 0,2-3,5-7");
    assert_eq!(refuse("1,8-9"), "none of these CPUs is online, this machine has 0,2-3,5-7");
}

#[test]
fn a_word_that_is_no_keyword_is_refused_with_the_keywords() {
    let error = "fast".parse::<PrimaryDomain>().expect_err("no keyword").to_string();
    assert!(error.contains("\"fast\"") && error.contains("turbo, performance, powersave, all"), "{error}");
}
