//! Signs and verifies access tokens (JWT, Ed25519). Writes no table.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, OctetKeyPairParameters,
    OctetKeyPairType, PublicKeyUse, ThumbprintHash,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::values::{SessionId, UserId};

const ISSUER: &str = "millrace";
const AUDIENCE: &str = "millrace-api";
/// Marks an access token, in case the same key signs another kind of JWT one day (RFC 9068).
const TYPE: &str = "at+jwt";

/// Our tokens have about 400 bytes; we do not parse a longer one.
pub const MAX_BYTES: usize = 2048;

/// The key that signs tokens, and the keys that verify them: it and previous keys.
pub struct Keys {
    kid: String,
    signing: EncodingKey,
    verifying: HashMap<String, DecodingKey>,
    jwks: JwkSet,
}

/// The content of a verified token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    pub user_id: UserId,
    pub session_id: SessionId,
    pub expires_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    iat: i64,
    exp: i64,
    jti: Uuid,
}

impl Keys {
    /// The error names the setting and never quotes the key.
    pub fn new(private_key: &SecretString, previous: &str) -> Result<Self, String> {
        let wrong = |_| {
            "JWT_PRIVATE_KEY (or the file that JWT_PRIVATE_KEY_FILE names) is not an Ed25519 key in PKCS#8 PEM; \
             make one with: openssl genpkey -algorithm ed25519"
                .to_owned()
        };
        let signing = EncodingKey::from_ed_pem(in_lines(private_key.expose_secret()).as_bytes()).map_err(wrong)?;
        let public_key = DEFAULT_PROVIDER.key_utils.ed_pub_components_from_private_key;
        let current = public_key(signing.as_bytes(), &EllipticCurve::Ed25519).map_err(wrong)?;
        let mut keys = Self { kid: String::new(), signing, verifying: HashMap::new(), jwks: JwkSet::default() };
        keys.kid = keys.add(&current);
        for key in previous_keys(previous)? {
            keys.add(&key);
        }
        Ok(keys)
    }

    /// The public keys, for other programs that verify our tokens.
    pub fn jwks(&self) -> &JwkSet {
        &self.jwks
    }

    pub fn sign(&self, session: &Session, now: DateTime<Utc>) -> Result<String> {
        let header =
            Header { typ: Some(TYPE.to_owned()), kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: session.user_id,
            sid: session.session_id,
            iat: now.timestamp(),
            exp: session.expires_at.timestamp(),
            jti: Uuid::new_v4(),
        };
        jsonwebtoken::encode(&header, &claims, &self.signing).map_err(Error::internal)
    }

    /// Accepts only tokens that we signed and that have not expired. Does not check whether the session has ended.
    pub fn verify(&self, token: &str) -> Option<Session> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return None;
        }
        let key = self.verifying.get(header.kid.as_deref()?)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.leeway = 0; // Our own processes sign and verify, and their clocks agree.
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation).ok()?.claims;
        let expires_at = DateTime::from_timestamp(claims.exp, 0)?;
        Some(Session { user_id: claims.sub, session_id: claims.sid, expires_at })
    }

    /// A key's id is its thumbprint (RFC 7638), so every process gives it the same id.
    fn add(&mut self, public_key: &[u8]) -> String {
        let key = DecodingKey::from_ed_der(public_key);
        let mut jwk = jwk(public_key);
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).expect("an Ed25519 key has a thumbprint");
        jwk.common.key_id = Some(kid.clone());
        if self.verifying.insert(kid.clone(), key).is_none() {
            self.jwks.keys.push(jwk);
        }
        kid
    }
}

fn jwk(public_key: &[u8]) -> Jwk {
    use base64::Engine as _;
    Jwk {
        common: CommonParameters {
            public_key_use: Some(PublicKeyUse::Signature),
            key_algorithm: Some(KeyAlgorithm::EdDSA),
            ..CommonParameters::default()
        },
        algorithm: AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x: base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(public_key),
        }),
    }
}

fn previous_keys(pems: &str) -> Result<Vec<Vec<u8>>, String> {
    let pems = in_lines(pems);
    let pems = pems.split_inclusive("-----END PUBLIC KEY-----").map(str::trim).filter(|pem| !pem.is_empty());
    let parsed = pems.map(|pem| {
        let key = DecodingKey::from_ed_pem(pem.as_bytes()).ok()?;
        key.try_get_as_bytes().ok().filter(|bytes| bytes.len() == 32).map(ToOwned::to_owned)
    });
    parsed.collect::<Option<_>>().ok_or_else(|| {
        "JWT_PREVIOUS_PUBLIC_KEYS holds something that is not an Ed25519 public key in PEM; \
         take one out of its private key with: openssl pkey -pubout"
            .to_owned()
    })
}

/// Some environments cannot hold several lines, so people write `\n` instead.
fn in_lines(pem: &str) -> String {
    pem.replace("\\n", "\n")
}
