//! The contract `unship:step@1.0.0`, generated from `wit/v1`.

wit_bindgen::generate!({
    path: "wit/v1",
    world: "step",
    pub_export_macro: true,
});
