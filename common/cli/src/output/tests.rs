//! How answers look to a person.

use serde_json::json;

use super::*;

#[test]
fn people_read_columns() {
    let list = json!([{ "peer": "abc", "this_zone": "z1", "addresses": ["/a", "/b"] }, { "peer": "dé" }]);
    assert_eq!(
        table(&list, &["peer", "this_zone", "addresses"]),
        "PEER  THIS ZONE  ADDRESSES\nabc   z1         /a /b\ndé    -          -"
    );
    assert_eq!(table(&Value::Null, &["peer"]), "PEER");
}

#[test]
fn people_read_lines() {
    let answer = json!({ "ready": true, "ring": { "members": 6 }, "troubles": {}, "peers": [{ "a": 1 }] });
    assert_eq!(lines(&answer, ""), "peers: [{\"a\":1}]\nready: true\nring.members: 6\ntroubles: {}\n");
}
