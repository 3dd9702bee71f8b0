//! Manifests: what a pushed document references. Read, never written: a registry serves the very
//! bytes that came, or their digest would change.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::media_type::{essence, is_foreign};
use super::{Digest, DigestError, MediaType};

/// A reference to content (image-spec, "Content descriptors").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The media type of what is referenced.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Descriptor {
    /// Tells whether the content is not expected in a registry (foreign, non-distributable).
    ///
    /// ```
    /// use roadstead::oci::{Algorithm, Descriptor, Digest};
    ///
    /// let media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".to_owned();
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// assert!(Descriptor { media_type, digest, size: 5 }.is_foreign());
    /// ```
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        is_foreign(&self.media_type)
    }
}

/// What a manifest is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestKind {
    /// An image or artifact: blobs, the config among them.
    Image,
    /// An index or list: other manifests.
    Index,
}

/// A parsed manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The media type that it is served with, without parameters.
    pub media_type: MediaType,
    /// What it is for.
    pub kind: ManifestKind,
    /// The blobs that it references: config, layers; foreign ones included.
    pub blobs: Vec<Descriptor>,
    /// The manifests that it references.
    pub children: Vec<Descriptor>,
    /// What it refers to, in the sense of the referrers API.
    pub subject: Option<Descriptor>,
    /// The type that the referrers API lists it under: its own, else that of its config.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Object<DocumentDescriptor>>,
    layers: Option<Vec<Object<DocumentDescriptor>>>,
    blobs: Option<Vec<Object<DocumentDescriptor>>>,
    manifests: Option<Vec<Object<DocumentDescriptor>>>,
    subject: Option<Object<DocumentDescriptor>>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
}

/// A JSON object. Without this the fields would be read out of an array as well, one after the other,
/// as no client does.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

impl Manifest {
    /// Parses the bytes of a manifest that came with that Content-Type, if with any. The bytes'
    /// own `mediaType` must agree with it; where both are missing (or the header says only "some
    /// JSON", "some bytes"), the fields tell.
    ///
    /// ```
    /// use roadstead::oci::{Manifest, ManifestError, MediaType};
    ///
    /// let index = br#"{"schemaVersion": 2, "manifests": []}"#;
    /// assert_eq!(Manifest::parse(index, None)?.media_type, MediaType::OciIndex);
    /// let image = MediaType::OciManifest.as_str();
    /// assert_eq!(Manifest::parse(index, Some(image)), Err(ManifestError::Ambiguous));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Everything that makes the document ambiguous, or one that clients could not use.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        let Object(document): Object<Document> = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Json(error.to_string()))?;
        let media_type = document.resolve_media_type(content_type)?;
        if media_type != MediaType::OciArtifact && document.schema_version != Some(2) {
            return Err(ManifestError::SchemaVersion);
        }
        let has_children = document.manifests.is_some();
        let has_blobs = document.config.is_some() || document.layers.is_some();
        let config_type = document.config.as_ref().map(|config| config.0.media_type.clone());
        let (kind, blobs, children) = match media_type {
            MediaType::OciIndex | MediaType::DockerList => {
                if has_blobs {
                    return Err(ManifestError::Ambiguous);
                }
                let children = document.manifests.ok_or(ManifestError::Missing("manifests"))?;
                (ManifestKind::Index, Vec::new(), children)
            }
            MediaType::OciManifest | MediaType::DockerManifest => {
                if has_children {
                    return Err(ManifestError::Ambiguous);
                }
                let config = document.config.ok_or(ManifestError::Missing("config"))?;
                let layers = document.layers.unwrap_or_default();
                (ManifestKind::Image, std::iter::once(config).chain(layers).collect(), Vec::new())
            }
            MediaType::OciArtifact => {
                if has_children || has_blobs {
                    return Err(ManifestError::Ambiguous);
                }
                (ManifestKind::Image, document.blobs.unwrap_or_default(), Vec::new())
            }
        };
        let artifact_type = [document.artifact_type, config_type]
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty());
        if let Some(text) = artifact_type.as_ref().filter(|text| text.contains(char::is_control)) {
            return Err(ManifestError::ArtifactType(text.clone()));
        }
        let read = |Object(descriptor): Object<DocumentDescriptor>| descriptor.read();
        let descriptors = |list: Vec<_>| list.into_iter().map(read).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            media_type,
            kind,
            blobs: descriptors(blobs)?,
            children: descriptors(children)?,
            subject: document.subject.map(read).transpose()?,
            artifact_type,
            annotations: document.annotations.unwrap_or_default(),
        })
    }
}

impl Document {
    fn resolve_media_type(&self, content_type: Option<&str>) -> Result<MediaType, ManifestError> {
        let parse = |text: &str| {
            MediaType::parse(text).ok_or_else(|| ManifestError::MediaType(text.to_owned()))
        };
        let own =
            self.media_type.as_deref().filter(|text| !text.is_empty()).map(parse).transpose()?;
        let declared = match content_type.map(essence) {
            None | Some("" | "application/json" | "application/octet-stream") => None,
            Some(text) => Some(parse(text)?),
        };
        match (own, declared) {
            (Some(own), Some(declared)) if own != declared => {
                Err(ManifestError::MediaTypeMismatch {
                    own: own.as_str(),
                    declared: declared.as_str(),
                })
            }
            (Some(media_type), _) | (None, Some(media_type)) => Ok(media_type),
            (None, None) => Ok(self.type_by_fields()),
        }
    }

    /// Returns what a document without a media type is.
    fn type_by_fields(&self) -> MediaType {
        if self.manifests.is_some() {
            MediaType::OciIndex
        } else if self.config.is_none() && (self.blobs.is_some() || self.artifact_type.is_some()) {
            MediaType::OciArtifact
        } else {
            MediaType::OciManifest
        }
    }
}

impl DocumentDescriptor {
    fn read(self) -> Result<Descriptor, ManifestError> {
        Ok(Descriptor {
            digest: self.digest.parse()?,
            media_type: self.media_type,
            size: self.size,
        })
    }
}

/// Why a document is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// It is not JSON of the right shape.
    #[error("the manifest is not valid: {0}")]
    Json(String),
    /// Its schema version is not 2.
    #[error("the manifest's schemaVersion is not 2")]
    SchemaVersion,
    /// It could be read as an image and as an index.
    #[error("the manifest has the fields of both an image and an index")]
    Ambiguous,
    /// A field that its kind must have is missing.
    #[error("the manifest has no `{0}`")]
    Missing(&'static str),
    /// No known media type.
    #[error("`{0}` is not a media type of a manifest")]
    MediaType(String),
    /// An artifact type with control characters.
    #[error("{0:?} is not a media type")]
    ArtifactType(String),
    /// The header and the document disagree.
    #[error("the manifest's mediaType is `{own}`, the Content-Type `{declared}`")]
    MediaTypeMismatch {
        /// The one in the document.
        own: &'static str,
        /// The one in the header.
        declared: &'static str,
    },
    /// A descriptor's digest is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::hostile;
    use super::*;
    use crate::oci::Algorithm;

    fn descriptor(media_type: &str, content: &str) -> String {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, content.len())
    }

    fn image(extra: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]{extra}}}"#,
            descriptor("application/vnd.oci.image.config.v1+json", "config"),
            descriptor("application/vnd.oci.image.layer.v1.tar", "layer"),
        )
    }

    #[test]
    fn an_image_without_a_media_type_is_an_oci_manifest() {
        let manifest = Manifest::parse(image("").as_bytes(), None).unwrap();
        assert_eq!(manifest.media_type, MediaType::OciManifest);
        assert_eq!(manifest.blobs.len(), 2);
        assert_eq!(
            manifest.artifact_type.as_deref(),
            Some("application/vnd.oci.image.config.v1+json")
        );
    }

    #[test]
    fn an_artifact_manifest_without_a_media_type_is_recognised_by_its_fields() {
        let layer = descriptor("text/plain", "layer");
        let artifact = format!(r#"{{"artifactType":"text/x","blobs":[{layer}]}}"#);
        for (text, blobs) in [
            (artifact.as_str(), 1),
            (r#"{"artifactType":"text/x"}"#, 0),
            (r#"{"blobs":[],"subject":null}"#, 0),
        ] {
            let manifest = Manifest::parse(text.as_bytes(), None).unwrap();
            assert_eq!(
                (manifest.media_type, manifest.blobs.len()),
                (MediaType::OciArtifact, blobs)
            );
            let declared = Some(MediaType::OciArtifact.as_str());
            assert_eq!(Manifest::parse(text.as_bytes(), declared).unwrap(), manifest);
        }
        let image = image(r#","artifactType":"text/x""#);
        let manifest = Manifest::parse(image.as_bytes(), None).unwrap();
        assert_eq!(manifest.media_type, MediaType::OciManifest);
    }

    #[test]
    fn parameters_of_a_content_type_are_ignored() {
        let declared = "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8";
        let manifest = Manifest::parse(image("").as_bytes(), Some(declared)).unwrap();
        assert_eq!(manifest.media_type, MediaType::DockerManifest);
    }

    #[test]
    fn header_and_document_must_agree() {
        let own = image(r#","mediaType":"application/vnd.oci.image.manifest.v1+json""#);
        let declared = Some("application/vnd.oci.image.index.v1+json");
        assert!(matches!(
            Manifest::parse(own.as_bytes(), declared),
            Err(ManifestError::MediaTypeMismatch { .. })
        ));
    }

    #[test]
    fn an_ambiguous_document_is_refused() {
        let both = image(r#","manifests":[]"#);
        for declared in
            [None, Some(MediaType::OciManifest.as_str()), Some(MediaType::OciIndex.as_str())]
        {
            assert_eq!(Manifest::parse(both.as_bytes(), declared), Err(ManifestError::Ambiguous));
        }
    }

    #[test]
    fn an_array_is_not_read_as_an_object() {
        let config = descriptor("a/b", "config");
        let (_, digest) = config.split_once("\"digest\":").unwrap();
        let digest = digest.split(',').next().unwrap();
        for text in [
            format!("[2,null,null,{config},[],null,null,null,null]"),
            image("").replace(
                &descriptor("application/vnd.oci.image.layer.v1.tar", "layer"),
                &format!("[\"a/b\",{digest},6]"),
            ),
            format!("{{\"schemaVersion\":2,\"config\":[\"a/b\",{digest},6]}}"),
        ] {
            assert!(
                matches!(Manifest::parse(text.as_bytes(), None), Err(ManifestError::Json(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let deep = "[".repeat(100_000);
        for bytes in [
            "",
            "null",
            "[]",
            "{}",
            "{\"schemaVersion\":2}",
            "{\"schemaVersion\":1}",
            &deep,
            "\u{feff}{}",
        ] {
            assert!(
                Manifest::parse(bytes.as_bytes(), None).is_err(),
                "{}",
                &bytes[..bytes.len().min(20)]
            );
        }
        assert!(Manifest::parse(b"\xff\xfe", None).is_err());
        let negative = image("").replace("\"size\":5", "\"size\":-5");
        assert!(Manifest::parse(negative.as_bytes(), None).is_err());
        let digest = image("").replace("sha256:", "sha256:x");
        assert!(matches!(Manifest::parse(digest.as_bytes(), None), Err(ManifestError::Digest(_))));
        assert!(matches!(
            Manifest::parse(image("").as_bytes(), Some("text/plain")),
            Err(ManifestError::MediaType(_))
        ));
    }

    #[test]
    fn foreign_layers_are_recognised() {
        for (media_type, foreign) in [
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", true),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", true),
            ("application/vnd.oci.image.layer.v1.tar", false),
        ] {
            let text = format!(
                r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
                descriptor("x", "config"),
                descriptor(media_type, "layer")
            );
            let manifest = Manifest::parse(text.as_bytes(), None).unwrap();
            assert_eq!(manifest.blobs[1].is_foreign(), foreign, "{media_type}");
        }
    }

    /// Documents that are manifests, some of them of two kinds at once.
    fn documents() -> impl Strategy<Value = String> {
        let descriptors = [descriptor("x/y", "1"), descriptor("application/json", "2")];
        let list = prop::sample::subsequence(descriptors.to_vec(), 0..=2);
        let list = list.prop_map(|list| format!("[{}]", list.join(",")));
        let media_types = MediaType::ALL.map(|known| format!("{:?}", known.as_str()));
        let field = prop_oneof![
            3 => Just("\"schemaVersion\":2".to_owned()),
            2 => prop::sample::select(media_types.to_vec()).prop_map(|it| format!("\"mediaType\":{it}")),
            3 => Just(format!("\"config\":{}", descriptor("a/b", "config"))),
            1 => Just(format!("\"subject\":{}", descriptor("a/b", "subject"))),
            2 => list.clone().prop_map(|list| format!("\"layers\":{list}")),
            1 => list.clone().prop_map(|list| format!("\"blobs\":{list}")),
            2 => list.prop_map(|list| format!("\"manifests\":{list}")),
            1 => "[a-z/]{0,5}".prop_map(|text| format!("\"artifactType\":\"{text}\"")),
            1 => "[a-z]{0,3}".prop_map(|text| format!("\"annotations\":{{\"k\":\"{text}\"}}")),
        ];
        prop::collection::vec(field, 0..6).prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    /// The digests that stand below these fields of a document, whatever else it is.
    fn digests(document: &serde_json::Value, fields: &[&str]) -> Vec<String> {
        let values = fields.iter().map(|field| &document[field]);
        let lists = values.flat_map(|value| match value {
            serde_json::Value::Array(items) => items.clone(),
            serde_json::Value::Null => Vec::new(),
            one => vec![one.clone()],
        });
        lists.map(|it| it["digest"].as_str().unwrap_or_default().to_owned()).collect()
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            declared in prop::option::of("\\PC{0,40}"),
        ) {
            let _ = Manifest::parse(&bytes, declared.as_deref());
        }

        #[test]
        fn what_is_taken_is_what_the_document_says(
            text in prop_oneof![documents(), hostile::edited(documents())],
            declared in prop::option::of(prop::sample::select(MediaType::ALL.to_vec())),
        ) {
            let declared = declared.map(MediaType::as_str);
            let Ok(manifest) = Manifest::parse(text.as_bytes(), declared) else { return Ok(()) };
            let document: serde_json::Value = serde_json::from_str(&text).unwrap();
            let own = document["mediaType"].as_str().filter(|own| !own.is_empty());
            for said in [own, declared].into_iter().flatten() {
                prop_assert_eq!(MediaType::parse(said), Some(manifest.media_type));
            }
            let (blobs, children): (&[_], &[_]) = match manifest.media_type {
                MediaType::OciIndex | MediaType::DockerList => (&[], &["manifests"]),
                MediaType::OciArtifact => (&["blobs"], &[]),
                MediaType::OciManifest | MediaType::DockerManifest => (&["config", "layers"], &[]),
            };
            let names = |list: &[Descriptor]| -> Vec<String> {
                list.iter().map(|it| it.digest.to_string()).collect()
            };
            prop_assert_eq!(names(&manifest.blobs), digests(&document, blobs));
            prop_assert_eq!(names(&manifest.children), digests(&document, children));
            let subject: Vec<Descriptor> = manifest.subject.into_iter().collect();
            prop_assert_eq!(names(&subject), digests(&document, &["subject"]));
            // No other client may read it as something else.
            let is_image = !document["config"].is_null() || !document["layers"].is_null();
            prop_assert!(!is_image || document["manifests"].is_null(), "{text}");
        }
    }
}
