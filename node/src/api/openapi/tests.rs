//! The document is whole in itself; a cluster test holds a real node against it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

#[test]
fn every_name_in_the_list_of_routes_is_described() {
    for Operation { path, parameters, refusals, answers, .. } in operations() {
        for name in parameters {
            assert!(parameter(name).is_some(), "{path}: nobody wrote down what {name} is");
        }
        for code in refusals {
            assert!(
                problems::ALL.iter().any(|kind| kind.code == *code),
                "{path}: no problem is called {code}"
            );
        }
        assert!(!answers.is_empty(), "{path} has no good answer");
    }
}

#[test]
fn every_code_is_one_and_used() {
    let codes: BTreeSet<&str> = problems::ALL.iter().map(|kind| kind.code).collect();
    assert_eq!(codes.len(), problems::ALL.len());
    let used: BTreeSet<&str> =
        operations().iter().flat_map(|operation| operation.refusals).copied().collect();
    let sometimes = problems::ALL.iter().filter(|kind| !kind.always).map(|kind| kind.code);
    assert_eq!(used, sometimes.collect());
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let known: BTreeSet<String> = schemas.keys().map(|name| format!("#/components/schemas/{name}")).collect();
    assert_eq!(found, known.iter().map(String::as_str).collect());
}

#[test]
fn operations_have_names_of_their_own() {
    let names: BTreeSet<String> = operations().iter().map(operation_id).collect();
    assert_eq!(names.len(), operations().len());
    assert!(names.contains("get_spaces_space_files_name"), "{names:?}");
}
