//! What comes from elsewhere may be broken in any way, and is found to be.

use super::*;
use crate::endpoint::users::Users;

const ORDER: Order = Order::Backlog;

/// Three sessions, of which the list has all, and a place for a fourth.
fn listed() -> (Slots<()>, List) {
    let (mut slots, mut list) = (Slots::new(), List::new(ORDER));
    let user = Users::new(0).find_or_add("ann");
    for number in 0..4 {
        let id = slots.insert(Session::new(Identity::new("ann", []), user, None, number));
        list.push_back(&mut slots, id.slot);
    }
    list.remove(&mut slots, 3);
    slots.remove(3);
    (slots, list)
}

#[test]
fn a_list_is_sound_that_leads_from_its_head_to_its_tail_and_back() {
    type Damage = fn(&mut Slots<()>, &mut List);
    let links = |before, after| Neighbours { listed: true, before, after };
    let (slots, list) = listed();
    assert!(list.is_sound(&slots));
    assert!(List::new(ORDER).is_sound(&slots));
    let damages: [(&str, Damage); 8] = [
        ("no head", |_, list| list.head = None),
        ("a head that is not there", |_, list| list.head = Some(9)),
        ("a tail in its middle", |_, list| list.tail = Some(1)),
        ("one too many", |_, list| list.len += 1),
        ("one too few", |_, list| list.len -= 1),
        ("none at all", |_, list| list.len = 0),
        ("a session that is free", |slots, _| _ = slots.remove(1)),
        ("a session that is not listed", |slots, _| slots[1].links[ORDER as usize].listed = false),
    ];
    for (what, damage) in damages {
        let (mut slots, mut list) = listed();
        damage(&mut slots, &mut list);
        assert!(!list.is_sound(&slots), "{what}");
    }
    for (what, slot, links) in [
        ("a circle", 2, links(Some(1), Some(0))),
        ("a way back that leaves one out", 2, links(Some(0), None)),
        ("a way that leaves one out", 0, links(None, Some(2))),
        ("a way to nowhere", 2, links(Some(1), Some(9))),
    ] {
        let (mut slots, list) = listed();
        slots[slot].links[ORDER as usize] = links;
        assert!(!list.is_sound(&slots), "{what}");
    }
}

#[test]
fn slots_are_sound_that_are_taken_or_free_and_not_both() {
    let with_free = |free: &[u32]| {
        let (mut slots, _) = listed();
        slots.remove(1);
        assert!(slots.is_sound());
        slots.free = free.to_vec();
        slots.is_sound()
    };
    assert!(with_free(&[1, 3]) && with_free(&[3, 1]));
    for broken in [&[][..], &[1], &[1, 3, 3], &[0, 1, 3], &[1, 3, 9]] {
        assert!(!with_free(broken), "{broken:?}");
    }
}
