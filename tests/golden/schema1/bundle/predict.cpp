// Label and confidence for one image, with the C API of ONNX Runtime.
//
// Build:  c++ -std=c++17 -O2 predict.cpp -I INCLUDE -L LIB -lonnxruntime -o predict
// Use:    ./predict IMAGE [MODEL]
//
// INCLUDE holds onnxruntime_c_api.h, LIB holds libonnxruntime.so; the library may be newer than the header. If LIB is
// not where the system looks for libraries, add -Wl,-rpath,LIB to the command. IMAGE is a binary PGM (grey) or PPM
// (colour) of exactly the model's size; MODEL is the bundle's model in the current folder unless it is given.
// verify.py refuses any file that is not of the bundle: build in another folder, or verify first.
//
// The constants are what manifest.json says of the input, the classes and the session of its first target, and hold
// for the bundle's model only. Exit code 2 after one line that says what is wrong.

#include <onnxruntime_c_api.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::string_view_literals;

constexpr const char* MODEL_FILE = "model.onnx";
constexpr const char* INPUT = "image";
constexpr const char* OUTPUT = "logits";
constexpr std::size_t BATCH = 1;
constexpr std::size_t CHANNELS = 1;
constexpr std::size_t HEIGHT = 8;
constexpr std::size_t WIDTH = 8;
constexpr double MEAN[CHANNELS] = {0.305549};
constexpr double STD[CHANNELS] = {0.376024};
constexpr std::string_view CLASSES[] = {
    "0"sv,
    "1"sv,
    "2"sv,
    "3"sv,
    "4"sv,
    "5"sv,
    "6"sv,
    "7"sv,
    "8"sv,
    "9"sv,
};
constexpr const char* PROVIDER = "CPUExecutionProvider";
constexpr int THREADS = 1;
constexpr int INTER_OP_THREADS = 1;
constexpr ExecutionMode EXECUTION = ORT_SEQUENTIAL;
constexpr GraphOptimizationLevel OPTIMISATION = ORT_ENABLE_ALL;
constexpr const char* SESSION_OPTIONS[][2] = {
    {"session.intra_op.allow_spinning", "1"},
    {"session.inter_op.allow_spinning", "1"},
};

constexpr std::size_t PIXELS = HEIGHT * WIDTH;
constexpr const char* CPU = "CPUExecutionProvider";

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

// ---- the image

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

[[noreturn]] void unreadable(const char* path, std::FILE* file, const char* otherwise) {
    const char* reason = file == nullptr || std::ferror(file) != 0 ? std::strerror(errno) : otherwise;
    fail("cannot read " + std::string(path) + ": " + reason);
}

// The next word of the header; comments go from '#' to the end of the line. One character after the word is read too.
std::string next_field(std::FILE* file) {
    constexpr std::size_t longest = 32;
    int character = std::getc(file);
    bool comment = false;
    while (character != EOF && (comment || character == '#' || std::isspace(character) != 0)) {
        comment = character != '\n' && (comment || character == '#');
        character = std::getc(file);
    }
    std::string field;
    while (character != EOF && std::isspace(character) == 0 && field.size() < longest) {
        field += static_cast<char>(character);
        character = std::getc(file);
    }
    return field;
}

bool is_number(const std::string& field, std::size_t& number) {
    const char* end = field.data() + field.size();
    const auto [stop, error] = std::from_chars(field.data(), end, number);
    return error == std::errc() && stop == end;
}

// Samples in the file's order: rows of pixels, each with its channels side by side.
std::vector<unsigned char> read_image(const char* path) {
    const File file(std::fopen(path, "rb"), std::fclose);
    if (!file) {
        unreadable(path, nullptr, "");
    }
    const std::string kind = next_field(file.get());
    const std::string columns = next_field(file.get());
    const std::string rows = next_field(file.get());
    const std::string levels = next_field(file.get());
    std::size_t width = 0;
    std::size_t height = 0;
    if ((kind != "P5" && kind != "P6") || !is_number(columns, width) || !is_number(rows, height) || levels != "255") {
        unreadable(path, file.get(), "not a binary PGM or PPM with 255 levels");
    }
    const std::size_t channels = kind == "P5" ? 1 : 3;
    if (channels != CHANNELS) {
        fail(std::string(path) + ": channels of the image: " + std::to_string(channels) +
             ", of the model: " + std::to_string(CHANNELS));
    }
    if (width != WIDTH || height != HEIGHT) {
        fail(std::string(path) + ": the image is " + std::to_string(width) + "x" + std::to_string(height) +
             ", the model takes " + std::to_string(WIDTH) + "x" + std::to_string(HEIGHT) +
             "; resize it as the training images were");
    }
    std::vector<unsigned char> samples(PIXELS * CHANNELS);
    if (std::fread(samples.data(), 1, samples.size(), file.get()) != samples.size()) {
        unreadable(path, file.get(), "the file is cut short");
    }
    return samples;
}

// (sample / 255 - mean) / std in NCHW order. In a model with a fixed batch the image comes first and zeros follow.
std::vector<float> preprocessed(const std::vector<unsigned char>& samples) {
    std::vector<float> fed(BATCH * CHANNELS * PIXELS);
    for (std::size_t channel = 0; channel < CHANNELS; ++channel) {
        for (std::size_t pixel = 0; pixel < PIXELS; ++pixel) {
            const double share = samples[pixel * CHANNELS + channel] / 255.0;
            fed[channel * PIXELS + pixel] = static_cast<float>((share - MEAN[channel]) / STD[channel]);
        }
    }
    return fed;
}

// ---- the model

template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

class Runtime {
  public:
    Runtime() : api_(OrtGetApiBase()->GetApi(ORT_API_VERSION)) {
        if (api_ == nullptr) {
            fail("the library is ONNX Runtime " + version() + ", older than the header (API version " +
                 std::to_string(ORT_API_VERSION) + "): build with the header of the library, or use a newer library");
        }
    }

    // Logits of the one image in `fed`.
    std::vector<float> answer(const char* model, std::vector<float>& fed) const {
        const auto environment = made(api_->ReleaseEnv, api_->CreateEnv, ORT_LOGGING_LEVEL_ERROR, "predict");
        const auto options = session_options();
        const auto session = made(api_->ReleaseSession, api_->CreateSession, environment.get(), model, options.get());
        const auto memory =
            made(api_->ReleaseMemoryInfo, api_->CreateCpuMemoryInfo, OrtArenaAllocator, OrtMemTypeDefault);
        const std::int64_t shape[] = {BATCH, CHANNELS, HEIGHT, WIDTH};
        const auto input =
            made(api_->ReleaseValue, api_->CreateTensorWithDataAsOrtValue, memory.get(), fed.data(),
                 fed.size() * sizeof(float), shape, std::size(shape), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
        const OrtValue* inputs[] = {input.get()};
        OrtValue* answered = nullptr;
        check(api_->Run(session.get(), nullptr, &INPUT, inputs, 1, &OUTPUT, 1, &answered));
        const Owned<OrtValue> output(answered, api_->ReleaseValue);
        return first_row(output.get());
    }

  private:
    static std::string version() { return OrtGetApiBase()->GetVersionString(); }

    void check(OrtStatus* status) const {
        if (status == nullptr) {
            return;
        }
        const Owned<OrtStatus> owned(status, api_->ReleaseStatus);
        const std::string message = api_->GetErrorMessage(status);
        fail("ONNX Runtime " + version() + ": " + message.substr(0, message.find('\n')));
    }

    // What one of the API's functions makes, to be released by another.
    template <typename T, typename Function, typename... Arguments>
    Owned<T> made(void (*release)(T*), Function function, Arguments... arguments) const {
        T* thing = nullptr;
        check(function(arguments..., &thing));
        return Owned<T>(thing, release);
    }

    Owned<OrtSessionOptions> session_options() const {
        auto options = made(api_->ReleaseSessionOptions, api_->CreateSessionOptions);
        check(api_->SetIntraOpNumThreads(options.get(), THREADS));
        check(api_->SetInterOpNumThreads(options.get(), INTER_OP_THREADS));
        check(api_->SetSessionExecutionMode(options.get(), EXECUTION));
        check(api_->SetSessionGraphOptimizationLevel(options.get(), OPTIMISATION));
        check(api_->SetSessionLogSeverityLevel(options.get(), ORT_LOGGING_LEVEL_ERROR));
        for (const auto& [key, value] : SESSION_OPTIONS) {
            check(api_->AddSessionConfigEntry(options.get(), key, value));
        }
        if (std::strcmp(PROVIDER, CPU) != 0) {  // the CPU is always there, and cannot be asked for
            check(api_->SessionOptionsAppendExecutionProvider(options.get(), PROVIDER, nullptr, nullptr, 0));
        }
        return options;
    }

    std::vector<float> first_row(OrtValue* output) const {
        const auto facts = made(api_->ReleaseTensorTypeAndShapeInfo, api_->GetTensorTypeAndShape, output);
        ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        std::size_t count = 0;
        check(api_->GetTensorElementType(facts.get(), &type));
        check(api_->GetTensorShapeElementCount(facts.get(), &count));
        if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || count != BATCH * std::size(CLASSES)) {
            fail("the model does not answer with one number a class: it is not the bundle's");
        }
        void* data = nullptr;
        check(api_->GetTensorMutableData(output, &data));
        const float* logits = static_cast<const float*>(data);
        return std::vector<float>(logits, logits + std::size(CLASSES));
    }

    const OrtApi* api_;
};

std::vector<float> softmax(std::vector<float> logits) {
    const float highest = *std::max_element(logits.begin(), logits.end());
    float sum = 0;
    for (float& each : logits) {
        each = std::exp(each - highest);
        sum += each;
    }
    for (float& each : logits) {
        each /= sum;
    }
    return logits;
}

void predict(const char* path, const char* model) {
    std::vector<float> fed = preprocessed(read_image(path));
    const std::vector<float> shares = softmax(Runtime().answer(model, fed));
    if (!std::all_of(shares.begin(), shares.end(), [](float share) { return std::isfinite(share); })) {
        fail("the model's answer is not finite");
    }
    const auto best = std::max_element(shares.begin(), shares.end());
    const std::string_view label = CLASSES[best - shares.begin()];
    std::printf("%s\t", path);
    std::fwrite(label.data(), 1, label.size(), stdout);
    std::printf("\t%.4f\n", static_cast<double>(*best));
    if (std::fflush(stdout) != 0) {
        fail("cannot write the answer: " + std::string(std::strerror(errno)));
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2 && count != 3) {
        std::fprintf(stderr, "usage: predict IMAGE [MODEL]\n");
        return 2;
    }
    try {
        predict(arguments[1], count == 3 ? arguments[2] : MODEL_FILE);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    }
    return 0;
}
