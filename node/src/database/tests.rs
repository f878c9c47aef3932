//! The database keeps what it acknowledged and forgets what it rolled back.

use rusqlite::{Connection, params};

use super::{
    Database, Error, State,
    schema::{self, FORMAT},
};

/// A state that counts what it believes is in the database.
#[derive(Default)]
struct Counted(usize);

impl State for Counted {
    fn mark(&self) -> usize {
        self.0
    }

    fn rolled_back(&mut self, _mark: usize) {
        self.0 = 0;
    }

    fn before_commit(&mut self, connection: &Connection) -> Result<(), Error> {
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('groups', x'00')", [])?;
        Ok(())
    }

    fn committed(&mut self) {}
}

async fn put(database: &Database<Counted>, key: &'static str) -> Result<usize, Error> {
    database
        .write(move |state, connection| {
            connection.execute("INSERT INTO meta VALUES (?1, x'00')", params![key])?;
            state.0 += 1;
            Ok(state.0)
        })
        .await
}

async fn count(database: &Database<Counted>) -> i64 {
    database
        .read(|connection| {
            Ok::<_, Error>(connection.query_row(
                "SELECT count(*) FROM meta WHERE key != 'groups'",
                [],
                |row| row.get(0),
            )?)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn many_writers_share_groups_and_all_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.db");
    let (database, writer) = Database::open(&path, Counted::default()).unwrap();
    let keys: Vec<&'static str> = (0..500).map(|n| &*Box::leak(n.to_string().into_boxed_str())).collect();
    let writes: Vec<_> = keys.iter().map(|key| put(&database, key)).collect();
    for result in futures::future::join_all(writes).await {
        result.unwrap();
    }
    assert_eq!(count(&database).await, 500);
    drop(database);
    writer.join();
    let (database, _writer) = Database::open(&path, Counted::default()).unwrap();
    assert_eq!(count(&database).await, 500);
}

#[tokio::test]
async fn a_failed_write_leaves_its_neighbours_and_forgets_the_state() {
    let directory = tempfile::tempdir().unwrap();
    let (database, _writer) = Database::open(&directory.path().join("node.db"), Counted::default()).unwrap();
    assert_eq!(put(&database, "a").await.unwrap(), 1);
    let failed: Result<(), Error> = database
        .write(|state, connection| {
            connection.execute("INSERT INTO meta VALUES ('b', x'00')", [])?;
            state.0 += 1;
            connection.execute("INSERT INTO meta VALUES ('a', x'00')", [])?;
            Ok(())
        })
        .await;
    assert!(matches!(failed, Err(Error::Sqlite(_))));
    assert_eq!(count(&database).await, 1, "the first half of the failed write is gone");
    assert_eq!(put(&database, "c").await.unwrap(), 1, "the state was read again from nothing");
}

#[tokio::test]
async fn a_refusal_that_wrote_nothing_keeps_the_state() {
    let directory = tempfile::tempdir().unwrap();
    let (database, _writer) = Database::open(&directory.path().join("node.db"), Counted::default()).unwrap();
    put(&database, "a").await.unwrap();
    let refused: Result<(), Error> = database.write(|_state, _connection| Err(Error::Closed)).await;
    assert!(refused.is_err());
    assert_eq!(put(&database, "b").await.unwrap(), 2);
}

#[tokio::test]
async fn readers_cannot_write() {
    let directory = tempfile::tempdir().unwrap();
    let (database, _writer) = Database::open(&directory.path().join("node.db"), Counted::default()).unwrap();
    let result: Result<usize, Error> =
        database.read(|connection| Ok(connection.execute("INSERT INTO meta VALUES ('x', x'00')", [])?)).await;
    assert!(result.is_err());
}

#[tokio::test]
async fn newer_and_foreign_files_are_refused_with_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let newer = directory.path().join("newer.db");
    drop(Database::open(&newer, Counted::default()).unwrap());
    let connection = Connection::open(&newer).unwrap();
    connection.pragma_update(None, "user_version", FORMAT + 1).unwrap();
    drop(connection);
    assert!(matches!(
        Database::open(&newer, Counted::default()),
        Err(Error::Newer { found: 5, known: 4, .. })
    ));

    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(Database::open(&foreign, Counted::default()), Err(Error::Foreign { .. })));

    let text = directory.path().join("text.db");
    std::fs::write(&text, "this is a long enough text that is no database at all. ".repeat(40)).unwrap();
    assert!(matches!(Database::open(&text, Counted::default()), Err(Error::Foreign { .. })));
}

fn schema_of(connection: &Connection) -> String {
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, name")
        .unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let words = |sql: String| sql.split_whitespace().collect::<Vec<_>>().join(" ") + ";\n";
    rows.map(|sql| words(sql.unwrap())).collect()
}

const GOLDEN: [&str; 4] = [
    include_str!("../../golden/node-db.v1.sql"),
    include_str!("../../golden/node-db.v2.sql"),
    include_str!("../../golden/node-db.v3.sql"),
    include_str!("../../golden/node-db.v4.sql"),
];

#[test]
fn no_format_ever_changes() {
    for (format, golden) in (1..).zip(GOLDEN) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&schema::STEPS[..format].concat()).unwrap();
        assert_eq!(schema_of(&connection), golden, "another schema is another format");
    }
}

#[test]
fn a_file_of_an_earlier_format_is_brought_up_to_date_with_all_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(schema::STEPS[0]).unwrap();
    connection.execute_batch("PRAGMA application_id = 0x434f534d; PRAGMA user_version = 1;").unwrap();
    connection.execute("INSERT INTO meta VALUES ('kept', x'01')", []).unwrap();
    drop(connection);
    for _again in 0..2 {
        let mut connection = Connection::open(&path).unwrap();
        schema::prepare(&path, &mut connection).unwrap();
        assert_eq!(schema_of(&connection), GOLDEN[3]);
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(found, FORMAT);
        let kept: Vec<u8> =
            connection.query_row("SELECT value FROM meta WHERE key = 'kept'", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, [1]);
    }
}
