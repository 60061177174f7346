package invoice;

import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Adds up an invoice: exact decimals, tax rounded once for each rate, as tax law wants it. */
public final class Invoice {
    private static final int MAX_LINES = 1000;
    private static final int MAX_DIGITS = 12;
    private static final BigDecimal HUNDRED = new BigDecimal(100);

    public record Line(String text, BigDecimal quantity, BigDecimal price, BigDecimal taxPercent) {}

    public record Order(String customer, List<Line> lines) {}

    public record LineTotal(String text, BigDecimal net) {}

    public record Tax(BigDecimal percent, BigDecimal net, BigDecimal tax) {}

    public record Total(String customer, List<LineTotal> lines, BigDecimal net, List<Tax> taxes, BigDecimal gross) {}

    /** What is wrong with an order, and where. */
    public static final class Wrong extends Exception {
        Wrong(String field, String why) {
            super(field + ": " + why);
        }
    }

    private Invoice() {}

    public static Total total(Order order) throws Wrong {
        if (order.customer() == null || order.customer().isBlank()) throw new Wrong("customer", "is missing");
        if (order.lines() == null || order.lines().isEmpty() || order.lines().size() > MAX_LINES) throw new Wrong("lines", "must be 1 to " + MAX_LINES);
        List<LineTotal> lines = new ArrayList<>();
        Map<BigDecimal, BigDecimal> netByRate = new TreeMap<>();
        for (int i = 0; i < order.lines().size(); i++) {
            Line line = order.lines().get(i);
            String at = "lines[" + i + "]";
            if (line == null || line.text() == null || line.text().isBlank()) throw new Wrong(at + ".text", "is missing");
            BigDecimal quantity = number(at + ".quantity", line.quantity());
            BigDecimal price = number(at + ".price", line.price());
            BigDecimal rate = number(at + ".taxPercent", line.taxPercent());
            if (quantity.signum() <= 0) throw new Wrong(at + ".quantity", "must be more than 0");
            if (rate.signum() < 0 || rate.compareTo(HUNDRED) > 0) throw new Wrong(at + ".taxPercent", "must be 0 to 100");
            BigDecimal net = cents(quantity.multiply(price));
            lines.add(new LineTotal(line.text().strip(), net));
            netByRate.merge(rate.stripTrailingZeros(), net, BigDecimal::add);
        }
        List<Tax> taxes = new ArrayList<>();
        BigDecimal net = cents(BigDecimal.ZERO);
        BigDecimal gross = net;
        for (Map.Entry<BigDecimal, BigDecimal> entry : netByRate.entrySet()) {
            BigDecimal tax = cents(entry.getValue().multiply(entry.getKey()).divide(HUNDRED));
            taxes.add(new Tax(new BigDecimal(entry.getKey().toPlainString()), entry.getValue(), tax));
            net = net.add(entry.getValue());
            gross = gross.add(entry.getValue()).add(tax);
        }
        return new Total(order.customer().strip(), lines, net, taxes, gross);
    }

    /** Bounded, so that 1e999999999 costs nothing. */
    private static BigDecimal number(String field, BigDecimal value) throws Wrong {
        if (value == null) throw new Wrong(field, "is missing");
        if (value.precision() > MAX_DIGITS || Math.abs(value.scale()) > MAX_DIGITS) throw new Wrong(field, "has more than " + MAX_DIGITS + " digits");
        return value;
    }

    private static BigDecimal cents(BigDecimal value) {
        return value.setScale(2, RoundingMode.HALF_UP);
    }
}
