//! Manifests, and objects rebuilt from shards that holders have spoiled.

use cosmic_common::id::ObjectId;
use cosmic_erasure::{Codec, Coder, Manifest};

use crate::{
    Room,
    check::{self, Script},
    decoder, sampled,
};

/// The room.
pub const ROOM: Room = Room {
    name: "erasure",
    decoders: &[
        decoder("manifest", check::only_record::<Manifest>),
        decoder("manifest", foreign),
        sampled(|| vec![vec![3, 6, 0, 40, 1, 1, 0, 7]], spoiled),
    ],
};

/// Shards as a hostile manifest wants them: nothing comes of them but the object it names.
fn foreign(bytes: &[u8]) {
    let Some(manifest) = check::record::<Manifest>(bytes) else { return };
    // The bytes of a manifest say what a peer must send; the rest is up to the peer.
    let shard_bytes = manifest.shard_bytes();
    if shard_bytes > 1 << 16 {
        return;
    }
    let Ok(coder) = Coder::new(manifest.codec()) else { panic!("{:?} has no coder", manifest.codec()) };
    let mut shards = vec![Some(vec![0; shard_bytes]); manifest.codec().n()];
    let rebuilt = coder.rebuild(&manifest, &mut shards);
    if let Ok(rebuilt) = rebuilt {
        assert_eq!(
            ObjectId::from_bytes(*cosmic_common::hash::plain(&rebuilt.into_vec()).as_bytes()),
            manifest.object()
        );
    }
}

/// An object is rebuilt exactly if enough shards are right, however the others are wrong.
fn spoiled(bytes: &[u8]) {
    let mut script = Script(bytes);
    let Ok(codec) = Codec::new(script.byte(), script.byte()) else { return };
    let coder = Coder::new(codec).expect("a codec has a coder");
    let length = script.number() % 2_000 + 1;
    let fill = script.byte();
    let object: Vec<u8> = (0..length).map(|at| (at % 251) as u8 ^ fill).collect();
    let Ok(encoded) = coder.encode(object.clone()) else { panic!("{length} bytes are not coded") };
    let manifest = encoded.manifest().clone();
    let mut shards: Vec<Option<Vec<u8>>> = encoded.shards().map(|shard| Some(shard.to_vec())).collect();
    let mut right = codec.n();
    for shard in &mut shards {
        let before = shard.clone();
        spoil(shard, &mut script);
        right -= usize::from(*shard != before);
    }
    let wanted = script.byte() % codec.n() as u8;
    let is_there = shards[usize::from(wanted)].as_deref() == encoded.shard(wanted);
    let again = coder.rebuild_shard(&manifest, &mut shards.clone(), wanted).ok();
    let expected = encoded.shard(wanted).filter(|_| is_there || right >= codec.k());
    assert_eq!(again.as_deref(), expected, "{right} right shards");
    match coder.rebuild(&manifest, &mut shards) {
        Ok(rebuilt) => assert!(rebuilt.into_vec() == object, "another object"),
        Err(error) => assert!(right < codec.k(), "{right} right shards, and {error}"),
    }
}

fn spoil(shard: &mut Option<Vec<u8>>, script: &mut Script<'_>) {
    match script.byte() {
        1 => *shard = None,
        2 => *shard = Some(script.piece().to_vec()),
        3 => {
            let at = script.number();
            let flips = script.byte();
            if let Some(byte) = shard.iter_mut().flatten().nth(at) {
                *byte ^= flips;
            }
        }
        _ => {}
    }
}
