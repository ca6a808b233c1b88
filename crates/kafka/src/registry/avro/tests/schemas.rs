use super::*;

#[test]
fn names_are_found_where_avro_looks_for_them() {
    let nested = r#"{"type": "record", "name": "com.acme.Order", "fields": [
        {"name": "total", "type": {"type": "fixed", "name": "Money", "size": 1}},
        {"name": "tax", "type": "Money"},
        {"name": "fee", "type": {"type": "com.acme.Money"}},
        {"name": "parent", "type": ["null", "Order"]},
        {"name": "bare", "type": {"type": "enum", "name": ".Bare", "symbols": ["A"]}},
        {"name": "again", "type": "Bare"}]}"#;
    let schema = AvroSchema::parse(nested, []).unwrap();
    assert_eq!(schema.name(), "com.acme.Order");
    let datum = [1, 2, 3, 2, 4, 5, 6, 0, 0, 0, 0, 0];
    let json = to_json(&schema, &datum).unwrap();
    let inner = r#"{"total":"BA==","tax":"BQ==","fee":"Bg==","parent":null,"bare":"A","again":"A"}"#;
    let outer = format!(r#"{{"total":"AQ==","tax":"Ag==","fee":"Aw==","parent":{inner},"bare":"A","again":"A"}}"#);
    assert_eq!(json, outer);
}

#[test]
fn references_are_read_whatever_their_order_and_may_be_all_there_is() {
    let money = r#"{"type": "record", "name": "Money", "namespace": "com.acme", "fields": [{"name": "cents", "type": "long"}]}"#;
    let item = r#"{"type": "record", "name": "com.acme.Item", "fields": [{"name": "price", "type": "Money"}]}"#;
    let order = r#"{"type": "record", "name": "shop.Order", "fields": [
        {"name": "items", "type": {"type": "array", "items": "com.acme.Item"}}, {"name": "total", "type": "com.acme.Money"}]}"#;
    for references in [[money, item], [item, money]] {
        let schema = AvroSchema::parse(order, references).unwrap();
        let json = to_json(&schema, &[2, 4, 0, 6]).unwrap();
        assert_eq!(json, r#"{"items":[{"price":{"cents":2}}],"total":{"cents":3}}"#);
        let schema = AvroSchema::parse(r#""com.acme.Item""#, references).unwrap();
        assert_eq!(
            (schema.name(), &to_json(&schema, &[8]).unwrap()[..]),
            ("com.acme.Item", &br#"{"price":{"cents":4}}"#[..])
        );
    }
}

#[test]
fn what_is_no_record_has_its_type_for_a_name() {
    for (text, name) in
        [(r#""string""#, "string"), (r#"{"type": "array", "items": "int"}"#, "array"), (r#"["null", "int"]"#, "union")]
    {
        assert_eq!(AvroSchema::parse(text, []).unwrap().name(), name);
    }
}

#[test]
fn what_the_specification_allows_is_read_and_the_rest_is_said() {
    // A type in a type; names where none belong, twice; attributes of others.
    let odd = r#"{"type": {"type": "record", "name": "R", "connect.name": "R", "fields": [
        {"name": "a", "type": {"type": "array", "name": "list", "items": {"type": "string", "avro.java.string": "String"}}},
        {"name": "b", "type": {"type": "map", "name": "list", "values": "int"}}]}}"#;
    assert_eq!(read(odd, &[2, 2, b'x', 0, 0]).as_deref(), Ok(r#"{"a":["x"],"b":{}}"#));
    for (bad, why) in [
        ("", "is not JSON"),
        ("7", "7 is no type"),
        (r#"{"name": "R"}"#, "has no 'type'"),
        (r#"{"type": "record", "fields": []}"#, "has no 'name'"),
        (r#"{"type": "record", "name": "R"}"#, "has no 'fields'"),
        (r#"{"type": "record", "name": "R", "fields": [{"name": "a"}]}"#, "a field of R"),
        (r#"{"type": "enum", "name": "E", "symbols": [1]}"#, "'symbols' of E"),
        (r#"{"type": "fixed", "name": "F", "size": -1}"#, "no 'size'"),
        (r#"["string", "Order"]"#, "Order is not defined"),
        (
            r#"[{"type": "fixed", "name": "F", "size": 1}, {"type": "fixed", "name": "F", "size": 1}]"#,
            "F is defined twice",
        ),
    ] {
        let said = AvroSchema::parse(bad, []).unwrap_err().to_string();
        assert!(said.contains(why), "{bad}: {said}");
    }
    let deep = format!("{}\"int\"{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(AvroSchema::parse(&deep, []).is_err());
}
