import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Follow the alerts of one bank: each revision once, also after a crash.
 *
 * Usage: java -cp JARS FollowAlerts.java BOOTSTRAP BANK_ID FILE
 *
 * Delivery is at least once. Every new revision is a line of FILE, which is forced to the disk before Kafka's offset is
 * committed. A crash between the two brings the same records again, and none of them is new.
 */
public class FollowAlerts {
    static final ObjectMapper JSON = new ObjectMapper();
    static final Map<String, Long> NEWEST = new HashMap<>(); // revision by alert_id

    public static void main(String[] args) throws Exception {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", args[0],
                "group.id", "alerts-of-" + args[1],
                "group.instance.id", "alerts-of-" + args[1] + "-1", // a restart takes its place at once
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false,
                "isolation.level", "read_committed");
        var text = new StringDeserializer();
        try (var file = new RandomAccessFile(args[2], "rw"); var consumer = new KafkaConsumer<>(settings, text, text)) {
            byte[] lines = new byte[(int) file.length()];
            file.readFully(lines);
            int end = lines.length;
            while (end > 0 && lines[end - 1] != '\n') end--; // a crash may have left half a line
            file.setLength(end);
            file.seek(end);
            for (String line : new String(lines, 0, end, StandardCharsets.UTF_8).lines().toList()) isNew(JSON.readTree(line));
            consumer.subscribe(List.of("alert." + args[1] + ".v1"));
            while (true) {
                var records = consumer.poll(Duration.ofSeconds(1));
                if (records.isEmpty()) continue;
                for (var record : records) {
                    JsonNode alert = JSON.readTree(record.value());
                    if (!isNew(alert)) continue;
                    file.write((alert + "\n").getBytes(StandardCharsets.UTF_8));
                    for (String field : List.of("alert_id", "revision", "state", "title_zh", "text_zh"))
                        System.out.print(alert.get(field).asText() + " ");
                    System.out.println();
                }
                file.getFD().sync();
                consumer.commitSync();
            }
        }
    }

    static boolean isNew(JsonNode alert) {
        long revision = alert.get("revision").asLong();
        if (revision <= NEWEST.getOrDefault(alert.get("alert_id").asText(), -1L)) return false;
        NEWEST.put(alert.get("alert_id").asText(), revision);
        return true;
    }
}
