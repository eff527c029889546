//! The servers there are.

use std::fmt;
use std::ops::RangeInclusive;

/// A server that tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// Elasticsearch 8.19: no data streams, no painless; users and API keys when started with a password.
    Elasticsearch8,
    /// Elasticsearch 9.5, as [`Product::Elasticsearch8`].
    Elasticsearch9,
    /// OpenSearch 2.19: has data streams; no users.
    OpenSearch2,
    /// OpenSearch 3.8, as [`Product::OpenSearch2`].
    OpenSearch3,
    /// SecantusDB: MongoDB's wire protocol on WiredTiger, with users, change streams and tailable cursors.
    SecantusDb,
    /// mongo-java-server: MongoDB's wire protocol, without users, change streams and tailable cursors.
    MongoJavaServer,
}

/// What starts a server.
pub(crate) enum Recipe {
    Java {
        /// Folder under `recipes/`.
        folder: &'static str,
        /// Version of the jars.
        version: &'static str,
        /// JDKs that it is known to run on.
        jdk: RangeInclusive<u32>,
        main: &'static str,
        /// Its modules are jars of their own; one is compiled from `root` and this folder.
        root: Option<&'static str>,
    },
    Python {
        folder: &'static str,
    },
}

impl Product {
    /// All servers.
    pub const ALL: [Self; 6] = [
        Self::Elasticsearch8,
        Self::Elasticsearch9,
        Self::OpenSearch2,
        Self::OpenSearch3,
        Self::SecantusDb,
        Self::MongoJavaServer,
    ];
    /// Those that speak Elasticsearch's REST protocol.
    pub const ELASTICSEARCH: &[Self] = &[
        Self::Elasticsearch8,
        Self::Elasticsearch9,
        Self::OpenSearch2,
        Self::OpenSearch3,
    ];
    /// Those that speak MongoDB's wire protocol.
    pub const MONGODB: &[Self] = &[Self::SecantusDb, Self::MongoJavaServer];

    /// Name and version, e.g. `OpenSearch 3.8.0`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Elasticsearch8 => "Elasticsearch 8.19.21",
            Self::Elasticsearch9 => "Elasticsearch 9.5.3",
            Self::OpenSearch2 => "OpenSearch 2.19.6",
            Self::OpenSearch3 => "OpenSearch 3.8.0",
            Self::SecantusDb => "SecantusDB 0.7.0b3",
            Self::MongoJavaServer => "mongo-java-server 1.47.0",
        }
    }

    /// The variable that names a server of the reader's own.
    pub(crate) const fn own_variable(self) -> &'static str {
        match self {
            Self::SecantusDb | Self::MongoJavaServer => "ARGUS_TEST_MONGODB_URI",
            _ => "ARGUS_TEST_ELASTICSEARCH_URL",
        }
    }

    /// Folder in the cache.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Elasticsearch8 => "elasticsearch-8",
            Self::Elasticsearch9 => "elasticsearch-9",
            Self::OpenSearch2 => "opensearch-2",
            Self::OpenSearch3 => "opensearch-3",
            Self::SecantusDb => "secantusdb",
            Self::MongoJavaServer => "mongo-java-server",
        }
    }

    pub(crate) fn recipe(self) -> Recipe {
        match self {
            Self::Elasticsearch8 => elasticsearch("8.19.21", 17..=25, "elasticsearch/v8"),
            Self::Elasticsearch9 => elasticsearch("9.5.3", 21..=25, "elasticsearch/v9"),
            Self::OpenSearch2 => opensearch("2.19.6", 17..=21),
            Self::OpenSearch3 => opensearch("3.8.0", 21..=25),
            Self::SecantusDb => Recipe::Python { folder: "secantus" },
            Self::MongoJavaServer => Recipe::Java {
                folder: "mongo-java-server",
                version: "1.47.0",
                jdk: 17..=25,
                main: "argus.servers.MongoNode",
                root: None,
            },
        }
    }
}

fn elasticsearch(version: &'static str, jdk: RangeInclusive<u32>, root: &'static str) -> Recipe {
    Recipe::Java {
        folder: "elasticsearch",
        version,
        jdk,
        main: "argus.servers.ElasticsearchNode",
        root: Some(root),
    }
}

fn opensearch(version: &'static str, jdk: RangeInclusive<u32>) -> Recipe {
    Recipe::Java {
        folder: "opensearch",
        version,
        jdk,
        main: "argus.servers.OpenSearchNode",
        root: None,
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
