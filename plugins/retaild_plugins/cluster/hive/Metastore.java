import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.jdo.JDOHelper;
import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hadoop.hive.metastore.HiveMetaStore;
import org.apache.hadoop.hive.metastore.IHMSHandler;
import org.apache.hadoop.hive.metastore.RetryingHMSHandler;
import org.apache.hadoop.hive.metastore.TSetIpAddressProcessor;
import org.apache.hadoop.hive.metastore.api.Database;
import org.apache.hadoop.hive.metastore.api.FieldSchema;
import org.apache.hadoop.hive.metastore.api.NoSuchObjectException;
import org.apache.hadoop.hive.metastore.api.SerDeInfo;
import org.apache.hadoop.hive.metastore.api.StorageDescriptor;
import org.apache.hadoop.hive.metastore.api.Table;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;
import org.apache.thrift.transport.TTransportFactory;
import org.datanucleus.api.jdo.JDOPersistenceManagerFactory;
import org.datanucleus.store.schema.SchemaAwareStoreManager;

/**
 * Hive's metastore on one address (its own launcher listens on all of them), which also keeps the
 * tables of a lake registered: directory `silver/sale` is the Delta table `silver.sale`.
 *
 * Arguments: host, port, the lake's directory, seconds between two looks at it. What was registered
 * here is marked, and unregistered when its directory is gone; other people's tables are left alone.
 */
public final class Metastore {
  private static final String MARK = "retaild.lake";

  public static void main(String[] arguments) throws Exception {
    InetAddress host = InetAddress.getByName(arguments[0]);
    int port = Integer.parseInt(arguments[1]);
    Path lake = Path.of(arguments[2]);
    long pause = Long.parseLong(arguments[3]) * 1000;

    HiveConf conf = new HiveConf(HiveMetaStore.class);
    createTables(conf);
    HiveMetaStore.HMSHandler own = new HiveMetaStore.HMSHandler("retaild", conf, false);
    IHMSHandler handler = RetryingHMSHandler.getProxy(conf, own, true);

    Thread keeper = new Thread(() -> keepRegistered(handler, lake, pause), "lake");
    keeper.setDaemon(true);
    keeper.start();

    TServerSocket socket = new TServerSocket(new InetSocketAddress(host, port));
    TThreadPoolServer.Args settings =
        new TThreadPoolServer.Args(socket)
            .processor(new TSetIpAddressProcessor<IHMSHandler>(handler))
            .transportFactory(new TTransportFactory())
            .protocolFactory(new TBinaryProtocol.Factory())
            .minWorkerThreads(4)
            .maxWorkerThreads(100);
    System.out.println("listening on " + host.getHostAddress() + ":" + port);
    new TThreadPoolServer(settings).serve();
  }

  /** All tables of the metastore's own database at once: made one by one, PostgreSQL locks up. */
  private static void createTables(HiveConf conf) throws IOException {
    Properties settings = new Properties();
    settings.put(
        "javax.jdo.PersistenceManagerFactoryClass", JDOPersistenceManagerFactory.class.getName());
    for (HiveConf.ConfVars key :
        new HiveConf.ConfVars[] {
          HiveConf.ConfVars.METASTORECONNECTURLKEY,
          HiveConf.ConfVars.METASTORE_CONNECTION_DRIVER,
          HiveConf.ConfVars.METASTORE_CONNECTION_USER_NAME,
          HiveConf.ConfVars.METASTOREPWD,
        }) {
      settings.put(key.varname, conf.getVar(key));
    }
    settings.put("datanucleus.schema.autoCreateAll", "true");
    settings.put("datanucleus.connectionPoolingType", "HikariCP");
    settings.put("datanucleus.identifierFactory", "datanucleus1");
    settings.put("datanucleus.rdbms.useLegacyNativeValueStrategy", "true");
    settings.put("datanucleus.transactionIsolation", "read-committed");
    settings.put("datanucleus.plugin.pluginRegistryBundleCheck", "LOG");
    settings.put("datanucleus.storeManagerType", "rdbms");
    JDOPersistenceManagerFactory factory =
        (JDOPersistenceManagerFactory) JDOHelper.getPersistenceManagerFactory(settings);
    try {
      ((SchemaAwareStoreManager) factory.getNucleusContext().getStoreManager())
          .createSchemaForClasses(modelClasses(), new Properties());
    } finally {
      factory.close();
    }
  }

  private static Set<String> modelClasses() throws IOException {
    String mapping;
    try (var stream = Metastore.class.getClassLoader().getResourceAsStream("package.jdo")) {
      mapping = new String(stream.readAllBytes(), StandardCharsets.UTF_8);
    }
    Set<String> found = new LinkedHashSet<>();
    Matcher match = Pattern.compile("<class name=\"(M\\w+)\"([^>]*)>").matcher(mapping);
    while (match.find()) {
      if (!match.group(2).contains("embedded-only=\"true\"")) {
        found.add("org.apache.hadoop.hive.metastore.model." + match.group(1));
      }
    }
    return found;
  }

  private static void keepRegistered(IHMSHandler handler, Path lake, long pause) {
    while (true) {
      try {
        register(handler, lake);
      } catch (Exception error) {
        System.out.println("the lake's tables could not be registered: " + error);
      }
      try {
        Thread.sleep(pause);
      } catch (InterruptedException stop) {
        return;
      }
    }
  }

  private static void register(IHMSHandler handler, Path lake) throws Exception {
    Map<String, Set<String>> there = tablesOf(lake);
    for (var layer : there.entrySet()) {
      makeDatabase(handler, layer.getKey(), lake);
      Set<String> known = new TreeSet<>(handler.get_all_tables(layer.getKey()));
      for (String name : layer.getValue()) {
        if (!known.contains(name)) {
          handler.create_table(table(layer.getKey(), name, lake));
          System.out.println("registered " + layer.getKey() + "." + name);
        }
      }
    }
    for (String database : handler.get_all_databases()) {
      for (String name : handler.get_all_tables(database)) {
        boolean gone = !there.getOrDefault(database, Set.of()).contains(name);
        if (gone && isOurs(handler.get_table(database, name), lake)) {
          handler.drop_table(database, name, false);
          System.out.println("unregistered " + database + "." + name);
        }
      }
    }
  }

  /** Layer -> the tables in it that have a commit. */
  private static Map<String, Set<String>> tablesOf(Path lake) throws IOException {
    Map<String, Set<String>> found = new TreeMap<>();
    for (Path layer : directories(lake)) {
      for (Path table : directories(layer)) {
        if (hasCommit(table.resolve("_delta_log"))) {
          found
              .computeIfAbsent(layer.getFileName().toString(), name -> new TreeSet<>())
              .add(table.getFileName().toString());
        }
      }
    }
    return found;
  }

  private static List<Path> directories(Path parent) throws IOException {
    List<Path> found = new ArrayList<>();
    if (Files.isDirectory(parent)) {
      try (DirectoryStream<Path> entries = Files.newDirectoryStream(parent, Files::isDirectory)) {
        entries.forEach(found::add);
      }
    }
    return found;
  }

  private static boolean hasCommit(Path log) throws IOException {
    if (!Files.isDirectory(log)) {
      return false;
    }
    try (DirectoryStream<Path> commits = Files.newDirectoryStream(log, "[0-9]*")) {
      return commits.iterator().hasNext();
    }
  }

  private static void makeDatabase(IHMSHandler handler, String name, Path lake) throws Exception {
    try {
      handler.get_database(name);
    } catch (NoSuchObjectException missing) {
      String place = lake.resolve(name).toUri().toString();
      handler.create_database(new Database(name, "retaild's lake", place, new HashMap<>()));
    }
  }

  /**
   * As Spark itself registers a Delta table at a place: columns and partitions are left to the
   * Delta log, so that they need no care when they change.
   */
  private static Table table(String database, String name, Path lake) {
    String place = lake.resolve(database).resolve(name).toUri().toString().replaceAll("/$", "");
    SerDeInfo serde =
        new SerDeInfo(
            name,
            "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
            new HashMap<>(Map.of("path", place, "serialization.format", "1")));
    StorageDescriptor storage = new StorageDescriptor();
    storage.setCols(List.of(new FieldSchema("col", "array<string>", "in the Delta log")));
    storage.setLocation(place);
    storage.setInputFormat("org.apache.hadoop.mapred.SequenceFileInputFormat");
    storage.setOutputFormat("org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat");
    storage.setSerdeInfo(serde);
    storage.setBucketCols(new ArrayList<>());
    storage.setSortCols(new ArrayList<>());
    storage.setParameters(new HashMap<>());
    Map<String, String> parameters = new HashMap<>();
    parameters.put("EXTERNAL", "TRUE");
    parameters.put("spark.sql.create.version", "4.2.0");
    parameters.put("spark.sql.sources.provider", "delta");
    parameters.put("spark.sql.sources.schema", "{\"type\":\"struct\",\"fields\":[]}");
    parameters.put(MARK, lake.toString());
    Table table = new Table();
    table.setDbName(database);
    table.setTableName(name);
    table.setOwner("retaild");
    table.setTableType("EXTERNAL_TABLE");
    table.setSd(storage);
    table.setPartitionKeys(new ArrayList<>());
    table.setParameters(parameters);
    table.setCreateTime((int) (System.currentTimeMillis() / 1000));
    return table;
  }

  private static boolean isOurs(Table table, Path lake) {
    return lake.toString().equals(table.getParameters().get(MARK));
  }
}
