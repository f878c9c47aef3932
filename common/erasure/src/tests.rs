//! Coding at its own door: any k shards suffice, wrong ones are named, bytes are those of the oracle.

use std::{fs, path::Path};

use cosmic_common::{hash, id::ObjectId, limit::OBJECT_MAX_BYTES, record::Record};
use data_encoding::HEXLOWER;
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{Codec, Coder, Encoded, Error, Manifest, coded_anew, codings};

/// The classes of `docs/storage.md`, and the edges of what a codec may be.
const CODECS: [(u8, u8); 10] =
    [(1, 1), (1, 2), (1, 3), (3, 6), (4, 6), (5, 10), (8, 14), (10, 20), (31, 32), (2, 32)];

fn coder(k: u8, n: u8) -> Coder {
    Coder::new(Codec::new(k, n).unwrap()).unwrap()
}

fn any_coder() -> impl Strategy<Value = Coder> {
    prop::sample::select(&CODECS).prop_map(|(k, n)| coder(k, n))
}

/// Lengths around every edge: shorter than k, just past a multiple of it, some blocks long.
fn object() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 1..80),
        vec(any::<u8>(), 1_000..5_000),
        (90_000_usize..400_000, any::<u8>()).prop_map(|(length, seed)| pattern(length, seed)),
    ]
}

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn places(encoded: &Encoded) -> Vec<Option<Vec<u8>>> {
    encoded.shards().map(|shard| Some(shard.to_vec())).collect()
}

/// Keeps `keep` places, chosen by `choice`; the others become empty.
fn thin(places: &mut [Option<Vec<u8>>], keep: usize, choice: &[Index]) {
    let mut present: Vec<usize> = (0..places.len()).collect();
    for index in choice {
        if present.len() > keep {
            places[present.remove(index.index(present.len()))] = None;
        }
    }
}

fn choice() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_k_shards_suffice(coder in any_coder(), object in object(), choice in choice()) {
        let encoded = coder.encode(object.clone()).unwrap();
        prop_assert_eq!(encoded.object(), &*object);
        let mut shards = places(&encoded);
        thin(&mut shards, coder.codec().k(), &choice);
        let rebuilt = coder.rebuild(encoded.manifest(), &mut shards).unwrap();
        prop_assert_eq!(rebuilt.wrong(), &[] as &[u8]);
        prop_assert_eq!(rebuilt.parts().collect::<Vec<_>>().concat(), object.clone());
        prop_assert_eq!(rebuilt.into_vec(), object);
    }

    #[test]
    fn one_shard_less_is_not_enough_and_nothing_is_lost(
        coder in any_coder(), object in object(), choice in choice(),
    ) {
        let encoded = coder.encode(object.clone()).unwrap();
        let mut shards = places(&encoded);
        thin(&mut shards, coder.codec().k() - 1, &choice);
        let before = shards.clone();
        let expected = Error::TooFewShards {
            right: coder.codec().k() - 1, needed: coder.codec().k(), wrong: vec![],
        };
        prop_assert_eq!(coder.rebuild(encoded.manifest(), &mut shards), Err(expected));
        prop_assert_eq!(&shards, &before);
        let absent = shards.iter().position(Option::is_none).unwrap();
        shards[absent] = encoded.shard(u8::try_from(absent).unwrap()).map(<[u8]>::to_vec);
        prop_assert_eq!(coder.rebuild(encoded.manifest(), &mut shards).unwrap().into_vec(), object);
    }

    #[test]
    fn wrong_shards_are_found_and_named(
        coder in any_coder(), object in object(), absent in choice(), flips in vec((any::<Index>(), any::<Index>(), 1_u8..), 1..4),
    ) {
        let encoded = coder.encode(object.clone()).unwrap();
        let mut shards = places(&encoded);
        thin(&mut shards, coder.codec().k() + 2, &absent);
        let present: Vec<usize> = (0..shards.len()).filter(|index| shards[*index].is_some()).collect();
        for (shard, byte, flip) in &flips {
            let shard = shards[present[shard.index(present.len())]].as_mut().unwrap();
            let byte = byte.index(shard.len());
            shard[byte] ^= flip;
        }
        let is_wrong = |index: &usize| shards[*index].as_deref() != encoded.shard(u8::try_from(*index).unwrap());
        let wrong: Vec<u8> =
            present.iter().copied().filter(is_wrong).map(|index| u8::try_from(index).unwrap()).collect();
        let right = present.len() - wrong.len();
        match coder.rebuild(encoded.manifest(), &mut shards) {
            Ok(rebuilt) => {
                prop_assert!(right >= coder.codec().k());
                prop_assert_eq!(rebuilt.wrong(), &wrong);
                prop_assert_eq!(rebuilt.into_vec(), object);
            }
            Err(error) => {
                prop_assert_eq!(error, Error::TooFewShards { right, needed: coder.codec().k(), wrong });
                prop_assert_eq!(shards.iter().flatten().count(), right);
            }
        }
    }

    #[test]
    fn any_shard_is_made_again(
        coder in any_coder(), object in object(), choice in choice(), lost in any::<Index>(),
    ) {
        let encoded = coder.encode(object).unwrap();
        let mut shards = places(&encoded);
        let lost = lost.index(shards.len());
        thin(&mut shards, coder.codec().k() + 1, &choice);
        if coder.codec().n() > 1 {
            shards[lost] = None;
        }
        let index = u8::try_from(lost).unwrap();
        let made = coder.rebuild_shard(encoded.manifest(), &mut shards, index).unwrap();
        prop_assert_eq!(Some(&*made), encoded.shard(index));
        prop_assert_eq!(encoded.manifest().check_shard(index, &made), Ok(()));
    }

    #[test]
    fn parity_is_that_of_the_oracle(coder in any_coder(), object in object()) {
        let codec = coder.codec();
        prop_assume!(codec.n() > 1);
        let encoded = coder.encode(object).unwrap();
        let oracle = reed_solomon_oracle::galois_8::ReedSolomon::new(codec.k(), codec.n() - codec.k()).unwrap();
        let mut expected: Vec<Vec<u8>> = encoded.shards().map(<[u8]>::to_vec).collect();
        expected[codec.k()..].iter_mut().for_each(|shard| shard.fill(0));
        oracle.encode(&mut expected).unwrap();
        prop_assert!(encoded.shards().eq(expected.iter().map(Vec::as_slice)));
    }

    #[test]
    fn shards_are_the_object_cut_and_padded(coder in any_coder(), object in object()) {
        let codec = coder.codec();
        let encoded = coder.encode(object.clone()).unwrap();
        let manifest = encoded.manifest();
        prop_assert_eq!(encoded.shards().count(), codec.n());
        prop_assert!(encoded.shards().all(|shard| shard.len() == object.len().div_ceil(codec.k())));
        let mut cut: Vec<u8> = encoded.shards().take(codec.k()).flatten().copied().collect();
        let padding = cut.split_off(object.len());
        prop_assert!(padding.len() < codec.k() && padding.iter().all(|byte| *byte == 0));
        prop_assert!(encoded.shards().map(hash::plain).eq(manifest.shards().iter().copied()));
        prop_assert!(hash::plain(&object).as_bytes() == manifest.object().as_bytes());
        prop_assert_eq!(cut, object);
    }

    #[test]
    fn a_manifest_follows_from_object_and_codec(coder in any_coder(), object in object()) {
        let manifest = coder.manifest(&object).unwrap();
        let mut roomy = Vec::with_capacity(coder.codec().padded_bytes(object.len()));
        roomy.extend_from_slice(&object);
        prop_assert_eq!(coder.encode(roomy).unwrap().manifest().clone(), manifest.clone());
        prop_assert_eq!(
            coder.encode_known(manifest.object(), object).unwrap().manifest().id(), manifest.id()
        );
    }

    #[test]
    fn manifests_round_trip_and_hostile_ones_do_not_panic(
        coder in any_coder(), object in object(), at in any::<Index>(), flip in 1_u8..,
    ) {
        let manifest = coder.manifest(&object).unwrap();
        let mut bytes = manifest.to_bytes();
        prop_assert_eq!(&Manifest::from_bytes(&bytes).unwrap(), &manifest);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = Manifest::from_bytes(&bytes) {
            prop_assert_ne!(other.id(), manifest.id());
            let mut shards = places(&coder.encode(object).unwrap());
            prop_assert!(coder.rebuild(&other, &mut shards).is_err() || other.object() == manifest.object());
        }
        prop_assert!(Manifest::from_bytes(&bytes[..at]).is_err());
    }
}

#[test]
fn only_sensible_codecs_exist() {
    for (k, n) in CODECS {
        assert!(Codec::new(k, n).is_ok(), "{k} of {n}");
    }
    for (k, n) in [(0, 0), (0, 3), (3, 3), (4, 3), (3, 33), (1, 33), (255, 255)] {
        assert_eq!(Codec::new(k, n), Err(Error::Codec { k, n }));
    }
}

#[test]
fn lengths_are_bounded() {
    let coder = coder(3, 6);
    for bytes in [0, OBJECT_MAX_BYTES + 1] {
        let expected = Error::ObjectLength { bytes };
        assert_eq!(coder.encode(vec![0; bytes]).unwrap_err(), expected);
        assert_eq!(coder.manifest(&vec![0; bytes]).unwrap_err(), expected);
    }
    assert!(coder.encode(vec![0; OBJECT_MAX_BYTES]).is_ok());
}

#[test]
fn a_forged_manifest_is_found_out() {
    let coder = coder(3, 6);
    let encoded = coder.encode(pattern(10_001, 1)).unwrap();
    let shards = encoded.manifest().shards().to_vec();
    let forged = |object: &[u8], length| {
        let object = ObjectId::from_bytes(*hash::plain(object).as_bytes());
        Manifest::new(object, length, coder.codec(), shards.clone()).unwrap()
    };
    // Another object; and the same shards said to be one byte less, or one of their padding more.
    for manifest in [
        forged(&pattern(10_001, 2), 10_001),
        forged(&pattern(10_001, 1)[..10_000], 10_000),
        forged(&[pattern(10_001, 1), vec![1]].concat(), 10_002),
    ] {
        let mut places = places(&encoded);
        assert_eq!(coder.rebuild(&manifest, &mut places), Err(Error::ForgedManifest));
    }
}

#[test]
fn the_coder_and_the_manifest_must_agree() {
    let manifest = coder(5, 10).manifest(b"abc").unwrap();
    assert!(matches!(coder(3, 6).rebuild(&manifest, &mut []), Err(Error::OtherCodec { .. })));
    let three = coder(3, 6);
    let encoded = three.encode(b"abc".to_vec()).unwrap();
    let mut shards = places(&encoded);
    assert!(matches!(
        three.rebuild_shard(encoded.manifest(), &mut shards, 6),
        Err(Error::NoSuchShard { index: 6, .. })
    ));
    shards.push(Some(vec![0]));
    assert_eq!(three.rebuild(encoded.manifest(), &mut shards).unwrap().wrong(), [6]);
}

/// One line for each class: the manifest of the same object. The hashes pin the parity too.
#[test]
fn golden_bytes_of_version_1() {
    let object: Vec<u8> = (0..=u8::MAX).cycle().take(1_000).collect();
    let lines: String = [(1, 3), (3, 6), (5, 10), (8, 14), (10, 20)]
        .map(|(k, n)| {
            let encoded = coder(k, n).encode(object.clone()).unwrap();
            assert_eq!(&Manifest::from_bytes(&encoded.manifest().to_bytes()).unwrap(), encoded.manifest());
            HEXLOWER.encode(&encoded.manifest().to_bytes()) + "\n"
        })
        .concat();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/manifest.v1.hex");
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(lines, golden, "the bytes of version 1 never change: {}", path.display());
    for line in golden.lines() {
        let bytes = HEXLOWER.decode(line.as_bytes()).unwrap();
        assert_eq!(Manifest::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    }
}

#[test]
fn golden_bytes_of_codings_made_anew() {
    let object: Vec<u8> = (0..=u8::MAX).cycle().take(1_000).collect();
    let lines: String = [(1, 3), (3, 6)]
        .map(|(k, n)| {
            let manifest = coder(k, n).encode(object.clone()).unwrap().manifest().clone().anew();
            HEXLOWER.encode(&manifest.to_bytes())
                + " "
                + &HEXLOWER.encode(manifest.coding().as_bytes())
                + "\n"
        })
        .concat();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/anew.v1.hex");
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(lines, golden, "the bytes of version 1 never change: {}", path.display());
    for line in golden.lines() {
        let (bytes, coding) = line.split_once(' ').unwrap();
        let manifest = Manifest::from_bytes(&HEXLOWER.decode(bytes.as_bytes()).unwrap()).unwrap();
        assert_eq!(HEXLOWER.encode(manifest.coding().as_bytes()), coding);
    }
}

#[test]
fn a_first_coding_has_one_form() {
    let manifest = coder(3, 6).encode(vec![1; 100]).unwrap().manifest().clone();
    let mut anew = manifest.clone().anew().to_bytes();
    // Key 6, and what it says: no instead of yes.
    *anew.last_mut().unwrap() = 0xf4;
    assert!(Manifest::from_bytes(&anew).is_err());
    assert_eq!(Manifest::from_bytes(&manifest.to_bytes()).unwrap().coding(), manifest.object());
}

proptest! {
    /// Codings of one object never share a name, and lie where the object's neighbours do.
    #[test]
    fn every_coding_has_its_own_name(bytes in any::<[u8; 32]>()) {
        let object = ObjectId::from_bytes(bytes);
        let mut names: Vec<ObjectId> = CODECS.map(|(k, n)| coded_anew(&object, Codec::new(k, n).unwrap())).into();
        names.push(object);
        prop_assert!(names.iter().all(|name| codings(&object).contains(name)));
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), CODECS.len() + 1);
    }
}
