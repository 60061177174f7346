package skerry;

/** A start that cannot be, for a reason that is the whole story: the text is for the author. */
final class StartFailed extends Exception {
    private static final long serialVersionUID = 1;

    StartFailed(String message) {
        super(message);
    }
}
