use crate::world::World;
scenarios! { "escapes": x }
fn x(_world: &World) {}
