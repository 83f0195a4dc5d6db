import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.zip.CRC32;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.utils.BufferSupplier;

/** Reads fetches, one a line in hexadecimal, with the classes that Kafka's consumer reads them with. */
public class KafkaReads {
    public static void main(String[] args) throws Exception {
        for (String line : Files.readAllLines(Path.of(args[0])))
            System.out.println(outcome(HexFormat.of().parseHex(line)));
    }

    /** "read" or "refused", then offset, time, and sums of key and value of each record before that. */
    static String outcome(byte[] raw) {
        StringBuilder found = new StringBuilder();
        try {
            for (RecordBatch batch : MemoryRecords.readableRecords(ByteBuffer.wrap(raw)).batches()) {
                batch.ensureValid();
                if (batch.isControlBatch()) continue;
                try (var records = batch.streamingIterator(BufferSupplier.create())) {
                    while (records.hasNext()) {
                        var record = records.next();
                        record.ensureValid();
                        found.append(' ').append(record.offset()).append(':').append(record.timestamp());
                        found.append(':').append(sum(record.key())).append(':').append(sum(record.value()));
                    }
                }
            }
        } catch (Exception | Error refusal) {
            return "refused" + found;
        }
        return "read" + found;
    }

    static long sum(ByteBuffer part) {
        if (part == null) return -1;
        CRC32 sum = new CRC32();
        sum.update(part.duplicate());
        return sum.getValue();
    }
}
