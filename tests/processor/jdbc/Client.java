import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/** Does with Arrow's JDBC driver what DBeaver does, and prints a line of tabbed fields for each row that it gets. */
public class Client {
    private interface Asking {
        ResultSet ask() throws SQLException;
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection connection = DriverManager.getConnection(arguments[0])) {
            DatabaseMetaData about = connection.getMetaData();
            print("product", about.getDatabaseProductName());
            print("read-only", about.isReadOnly());
            print("quote", about.getIdentifierQuoteString());
            print("transactions", about.supportsTransactions());
            print("valid", connection.isValid(5));
            show("catalog", about::getCatalogs, 1);
            show("schema", about::getSchemas, 1);
            show("table type", about::getTableTypes, 1);
            show("table", () -> about.getTables("tupletrace", "main", "trac%", new String[] {"VIEW"}), 3, 4);
            show("column", () -> about.getColumns("tupletrace", "main", "trace_costs", null), 4, 5, 6);
            show("key", () -> about.getPrimaryKeys("tupletrace", "main", "spans"), 4);
            show("imported", () -> about.getImportedKeys("tupletrace", "main", "spans"), 4);
            show("exported", () -> about.getExportedKeys("tupletrace", "main", "spans"), 4);
            try (Statement statement = connection.createStatement()) {
                String sql = "SELECT name, duration_ns, start_time FROM spans ORDER BY trace_id, name";
                show("span", () -> statement.executeQuery(sql), 1, 2, 3);
                for (String refused : new String[] {
                    "DELETE FROM spans", "DROP TABLE spans", "COPY spans TO '/tmp/x'", "SELECT 1; DROP TABLE spans",
                    "WITH gone AS (DELETE FROM spans RETURNING 1) FROM gone", "SET memory_limit = '1GB'", "SELECT nonsense",
                }) {
                    failing("refused", () -> statement.execute(refused));
                }
                failing("updated", () -> statement.executeUpdate("DELETE FROM spans"));
            }
            String counting = "SELECT count(*) FROM spans WHERE name = ? AND duration_ns >= ?";
            try (PreparedStatement statement = connection.prepareStatement(counting)) {
                print("parameters", statement.getParameterMetaData().getParameterCount());
                for (String name : new String[] {"ask", "no such"}) {
                    statement.setString(1, name);
                    statement.setString(2, "0");
                    show("counted", statement::executeQuery, 1);
                }
            }
            try (Statement statement = connection.createStatement()) {
                ResultSet rows = statement.executeQuery("SELECT md5(CAST(i AS VARCHAR)) FROM range(100000000) AS t(i)");
                rows.next();
                statement.cancel();
                failing("cancelled", () -> {
                    while (rows.next()) {
                    }
                });
            }
            try (Statement statement = connection.createStatement()) {
                show("after", () -> statement.executeQuery("SELECT count(*) FROM spans"), 1);
            }
        }
    }

    private interface Doing {
        void run() throws SQLException;
    }

    private static void failing(String label, Doing doing) {
        try {
            doing.run();
            print(label, "no");
        } catch (SQLException error) {
            print(label, "yes", error.getMessage().replaceAll("\\s+", " "));
        }
    }

    private static void show(String label, Asking asking, int... columns) throws SQLException {
        try (ResultSet rows = asking.ask()) {
            while (rows.next()) {
                List<Object> fields = new ArrayList<>();
                for (int column : columns) {
                    fields.add(rows.getString(column));
                }
                print(label, fields.toArray());
            }
        }
    }

    private static void print(String label, Object... fields) {
        StringBuilder line = new StringBuilder(label);
        for (Object field : fields) {
            line.append('\t').append(field);
        }
        System.out.println(line);
    }
}
