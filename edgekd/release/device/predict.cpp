// Label and confidence for the sample in a file, with the C API of ONNX Runtime.
//
// Build:  c++ -std=c++17 -O2 predict.cpp -I INCLUDE -L LIB -lonnxruntime -o predict
// Use:    ./predict FILE [MODEL] [--target NAME]
//
// INCLUDE holds onnxruntime_c_api.h, LIB holds libonnxruntime.so; the library may be newer than the header. If LIB is
// not where the system looks for libraries, add -Wl,-rpath,LIB to the command. inputs.h says what FILE may be; MODEL is
// the target's model in the current folder unless it is given; NAME is the first target of manifest.json unless it is
// given. verify.py refuses any file that is not of the bundle: build in another folder, or verify first.
//
// The constants of model.h are what manifest.json says of the input, the classes, and the model and the session of each
// target. Exit code 2 after one line that says what is wrong.

#include <onnxruntime_c_api.h>

#include <algorithm>
#include <cerrno>
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
#include <type_traits>
#include <vector>

#include "model.h"

#include "inputs.h"

namespace {

constexpr const char* CPU = "CPUExecutionProvider";
constexpr ONNXTensorElementDataType ELEMENT_TYPE = std::is_same_v<Element, float>
                                                       ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
                                                       : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

// With the control characters that a terminal would obey, from the name of a file for example, written out.
std::string visible(const std::string& text) {
    std::string made;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        const auto next = static_cast<unsigned char>(at + 1 < text.size() ? text[at + 1] : 0);
        char escape[16];
        if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {  // one of two bytes in UTF-8
            std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(next));
            made += escape;
            ++at;
        } else if (byte < 0x20 || byte == 0x7F) {
            std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(byte));
            made += escape;
        } else {
            made += text[at];
        }
    }
    return made;
}

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

    // Logits of one sample, by the model in a file under the settings of a target.
    std::vector<float> answer(const Target& target, const char* model, std::vector<Element> fed) const {
        fed.resize(target.batch * SAMPLE);  // in a model with a fixed batch the sample comes first and zeros follow
        std::vector<std::int64_t> shape{static_cast<std::int64_t>(target.batch)};
        shape.insert(shape.end(), std::begin(SHAPE), std::end(SHAPE));
        const auto environment = made(api_->ReleaseEnv, api_->CreateEnv, ORT_LOGGING_LEVEL_ERROR, "predict");
        const auto options = session_options(target);
        const auto session = made(api_->ReleaseSession, api_->CreateSession, environment.get(), model, options.get());
        const auto memory =
            made(api_->ReleaseMemoryInfo, api_->CreateCpuMemoryInfo, OrtArenaAllocator, OrtMemTypeDefault);
        const auto input =
            made(api_->ReleaseValue, api_->CreateTensorWithDataAsOrtValue, memory.get(), fed.data(),
                 fed.size() * sizeof(Element), shape.data(), shape.size(), ELEMENT_TYPE);
        const OrtValue* inputs[] = {input.get()};
        OrtValue* answered = nullptr;
        check(api_->Run(session.get(), nullptr, &INPUT, inputs, 1, &OUTPUT, 1, &answered));
        const Owned<OrtValue> output(answered, api_->ReleaseValue);
        return first_row(output.get(), target.batch);
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

    Owned<OrtSessionOptions> session_options(const Target& target) const {
        auto options = made(api_->ReleaseSessionOptions, api_->CreateSessionOptions);
        check(api_->SetIntraOpNumThreads(options.get(), target.threads));
        check(api_->SetInterOpNumThreads(options.get(), target.inter_op_threads));
        check(api_->SetSessionExecutionMode(options.get(), target.execution));
        check(api_->SetSessionGraphOptimizationLevel(options.get(), target.optimisation));
        check(api_->SetSessionLogSeverityLevel(options.get(), ORT_LOGGING_LEVEL_ERROR));
        for (std::size_t number = 0; number < target.option_count; ++number) {
            const auto& [key, value] = target.options[number];
            check(api_->AddSessionConfigEntry(options.get(), key, value));
        }
        if (std::strcmp(target.provider, CPU) != 0) {  // the CPU is always there, and cannot be asked for
            check(api_->SessionOptionsAppendExecutionProvider(options.get(), target.provider, nullptr, nullptr, 0));
        }
        return options;
    }

    std::vector<float> first_row(OrtValue* output, std::size_t batch) const {
        const auto facts = made(api_->ReleaseTensorTypeAndShapeInfo, api_->GetTensorTypeAndShape, output);
        ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        std::size_t count = 0;
        check(api_->GetTensorElementType(facts.get(), &type));
        check(api_->GetTensorShapeElementCount(facts.get(), &count));
        if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || count != batch * std::size(CLASSES)) {
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

// The target of a name, the first one without a name.
const Target& named(const char* name) {
    if (name == nullptr) {
        return TARGETS[0];
    }
    std::string known;
    for (const Target& target : TARGETS) {
        if (target.name == name) {
            return target;
        }
        known += (known.empty() ? "" : ", ") + std::string(target.name);
    }
    fail("the bundle has nothing for target '" + std::string(name) + "'; it has " + known);
}

struct Arguments {
    std::vector<const char*> paths;     // FILE, and MODEL where it is given
    const char* target_name = nullptr;  // none: the first target
};

// Whether the command line is one that the usage allows; fills `arguments`.
bool parse(int count, char** words, Arguments& arguments) {
    for (int number = 1; number < count; ++number) {
        if (std::strcmp(words[number], "--target") != 0) {
            arguments.paths.push_back(words[number]);
        } else if (++number < count) {
            arguments.target_name = words[number];
        } else {
            return false;
        }
    }
    return arguments.paths.size() == 1 || arguments.paths.size() == 2;
}

void predict(const Arguments& arguments) {
    const char* path = arguments.paths.front();
    const Target& target = named(arguments.target_name);
    const char* model = arguments.paths.size() == 2 ? arguments.paths.back() : target.file;
    const std::vector<float> shares = softmax(Runtime().answer(target, model, read_input(path)));
    if (!std::all_of(shares.begin(), shares.end(), [](float share) { return std::isfinite(share); })) {
        fail("the model's answer is not finite");
    }
    const auto best = std::max_element(shares.begin(), shares.end());
    const std::string_view label = CLASSES[best - shares.begin()];
    std::printf("%s\t", visible(path).c_str());
    std::fwrite(label.data(), 1, label.size(), stdout);
    std::printf("\t%.4f\n", static_cast<double>(*best));
    if (std::fflush(stdout) != 0) {
        fail("cannot write the answer: " + std::string(std::strerror(errno)));
    }
}

}  // namespace

int main(int count, char** words) {
    Arguments arguments;
    if (!parse(count, words, arguments)) {
        std::fprintf(stderr, "usage: predict FILE [MODEL] [--target NAME]\n");
        return 2;
    }
    try {
        predict(arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", visible(error.what()).c_str());
        return 2;
    }
    return 0;
}
