package skerry;

import com.sun.net.httpserver.HttpExchange;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.InvocationTargetException;

/** The author's object and its method {@code void handle(HttpExchange)}. */
record Function(Object object, MethodHandle handle) {
    /** Runs the author's constructor; what it throws comes out as it is. */
    static Function make(Class<?> type) throws Throwable {
        try {
            Object object = type.getDeclaredConstructor().newInstance();
            return new Function(object, MethodHandles.publicLookup().findVirtual(type, "handle", MethodType.methodType(void.class, HttpExchange.class)).bindTo(object));
        } catch (InvocationTargetException | ExceptionInInitializerError wrapped) {
            throw wrapped.getCause();
        } catch (NoSuchMethodException | IllegalAccessException missing) {
            throw new NoSuchMethodException("functions.Function must be public, with a public constructor without parameters and a public void handle(HttpExchange)");
        }
    }
}
