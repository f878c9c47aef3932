//! Documents merge as an app would expect, whatever the order.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{DEPTH_MAX, Document, Error, ReplicaId};

const A: ReplicaId = ReplicaId(1);
const B: ReplicaId = ReplicaId(2);

fn with(value: &Value) -> (Document, Vec<u8>) {
    let mut document = Document::default();
    let update = document.put(A, value).unwrap().unwrap();
    (document, update)
}

#[test]
fn different_fields_of_one_object_both_survive() {
    let (mut on_a, first) = with(&json!({"name": "x", "nested": {"one": 1}}));
    let mut on_b = Document::default();
    assert!(on_b.import(A, &first).unwrap());
    let from_a = on_a.put(A, &json!({"name": "y", "nested": {"one": 1, "left": true}})).unwrap().unwrap();
    let from_b = on_b.put(B, &json!({"name": "x", "nested": {"one": 1, "right": true}})).unwrap().unwrap();
    on_a.import(B, &from_b).unwrap();
    on_b.import(A, &from_a).unwrap();
    let merged = json!({"name": "y", "nested": {"left": true, "one": 1, "right": true}});
    assert_eq!(on_a.value(), Some(merged.clone()));
    assert_eq!(on_b.value(), Some(merged));
    assert_eq!(on_a.version(), on_b.version());
}

#[test]
fn objects_created_apart_under_one_key_merge() {
    let (mut on_a, _) = with(&json!({}));
    let mut on_b = Document::default();
    on_b.import(A, &on_a.put(A, &json!({"settings": {"a": 1}})).unwrap().unwrap()).unwrap_err();
    let (mut on_a, first) = with(&json!({}));
    let mut on_b = Document::default();
    on_b.import(A, &first).unwrap();
    let from_a = on_a.put(A, &json!({"settings": {"a": 1}})).unwrap().unwrap();
    let from_b = on_b.put(B, &json!({"settings": {"b": 2}})).unwrap().unwrap();
    on_a.import(B, &from_b).unwrap();
    on_b.import(A, &from_a).unwrap();
    assert_eq!(on_a.value(), Some(json!({"settings": {"a": 1, "b": 2}})));
    assert_eq!(on_a.value(), on_b.value());
}

#[test]
fn what_is_equal_makes_no_update() {
    let (mut document, _) = with(&json!({"a": [1, {"b": 2.5}], "c": null}));
    assert_eq!(document.put(A, &json!({"c": null, "a": [1, {"b": 2.5}]})).unwrap(), None);
    assert_eq!(document.patch(A, &json!({})).unwrap(), None);
}

#[test]
fn merge_patch_follows_the_rfc() {
    let (mut document, _) = with(&json!({"a": {"b": 1, "c": 2}, "d": [1]}));
    document.patch(A, &json!({"a": {"b": null, "e": {"f": 1}}, "d": "text"})).unwrap();
    assert_eq!(document.value(), Some(json!({"a": {"c": 2, "e": {"f": 1}}, "d": "text"})));
}

#[test]
fn deletion_is_a_change_and_a_new_write_starts_clean() {
    let (mut document, _) = with(&json!({"a": {"old": 1}}));
    assert!(document.delete(A).unwrap().is_some());
    assert_eq!(document.value(), None);
    assert_eq!(document.delete(A).unwrap(), None);
    document.put(A, &json!({"a": {"new": 2}})).unwrap();
    assert_eq!(document.value(), Some(json!({"a": {"new": 2}})));
}

#[test]
fn a_replaced_object_does_not_come_back_with_old_fields() {
    let (mut document, _) = with(&json!({"a": {"old": 1}}));
    document.put(A, &json!({"a": 5})).unwrap();
    document.put(A, &json!({"a": {"new": 2}})).unwrap();
    assert_eq!(document.value(), Some(json!({"a": {"new": 2}})));
}

#[test]
fn foreign_operations_and_gaps_are_refused() {
    let (mut on_a, first) = with(&json!({"n": 1}));
    let second = on_a.put(A, &json!({"n": 2})).unwrap().unwrap();
    let mut on_b = Document::default();
    assert!(matches!(on_b.import(B, &first), Err(Error::ForeignOperations)));
    assert!(matches!(Document::default().import(A, &second), Err(Error::MissingDependencies)));
    assert!(on_b.import(A, &first).unwrap());
    assert!(!on_b.import(A, &first).unwrap(), "a duplicate changes nothing");
    assert!(on_b.import(A, &second).unwrap());
    assert!(on_b.import(A, b"not an update").is_err());
}

#[test]
fn what_cannot_be_stored_is_refused_untouched() {
    let (mut document, _) = with(&json!({"kept": true}));
    let deep = (0..=DEPTH_MAX).fold(json!(1), |inner, _| json!({"x": inner}));
    assert!(matches!(document.put(A, &deep), Err(Error::TooDeep)));
    assert!(matches!(document.put(A, &json!([1])), Err(Error::NotAnObject)));
    assert!(matches!(document.put(A, &json!({"n": u64::MAX})), Err(Error::NumberTooLarge(_))));
    assert_eq!(document.value(), Some(json!({"kept": true})));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z]{0,8}".prop_map(Value::from),
        proptest::collection::vec(any::<i32>(), 0..4).prop_map(Value::from),
    ];
    let object = |inner: BoxedStrategy<Value>| proptest::collection::btree_map("[a-d]", inner, 0..4);
    let nested = object(leaf.clone().boxed()).prop_map(|fields| json!(fields));
    object(prop_oneof![leaf, nested].boxed()).prop_map(|fields| json!(fields))
}

proptest! {
    #[test]
    fn what_was_put_is_read_back_also_from_bytes(values in proptest::collection::vec(value(), 1..5)) {
        let mut document = Document::default();
        for value in &values {
            document.put(A, value).unwrap();
            prop_assert_eq!(document.value(), Some(value.clone()));
        }
        let reopened = Document::from_bytes(&document.to_bytes().unwrap()).unwrap();
        prop_assert_eq!(reopened.value(), document.value());
        prop_assert_eq!(reopened.version(), document.version());
    }

    #[test]
    fn concurrent_writes_converge_in_any_order(
        start in value(), on_a in proptest::collection::vec(value(), 0..4), on_b in proptest::collection::vec(value(), 0..4),
    ) {
        let (mut a, first) = with(&start);
        let mut b = Document::default();
        b.import(A, &first).unwrap();
        let from_a: Vec<_> = on_a.iter().filter_map(|value| a.put(A, value).unwrap()).collect();
        let from_b: Vec<_> = on_b.iter().filter_map(|value| b.put(B, value).unwrap()).collect();
        for update in &from_b { a.import(B, update).unwrap(); }
        for update in &from_a { b.import(A, update).unwrap(); }
        let mut late = Document::default();
        late.import(A, &first).unwrap();
        for update in &from_b { late.import(B, update).unwrap(); }
        for update in &from_a { late.import(A, update).unwrap(); }
        prop_assert_eq!(a.value(), b.value());
        prop_assert_eq!(a.value(), late.value());
        prop_assert_eq!(a.version(), late.version());
    }
}
