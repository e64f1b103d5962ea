// One row of features from a file, as the model takes it; included after model.h, which holds FEATURES, MEAN and STD.

#pragma once

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

constexpr std::size_t SAMPLE = FEATURES;      // numbers in one preprocessed sample
constexpr std::int64_t SHAPE[] = {FEATURES};  // of one sample, without the batch

namespace input {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

// The next line without its end; false after the last one.
inline bool next_line(std::FILE* file, std::string& line) {
    line.clear();
    int character = std::getc(file);
    if (character == EOF) {
        return false;
    }
    for (; character != EOF && character != '\n'; character = std::getc(file)) {
        line += static_cast<char>(character);
    }
    return true;
}

// What stands between commas, semicolons or blanks; blanks around a comma or semicolon belong to it.
inline std::vector<std::string> fields_of(const std::string& line) {
    constexpr const char* blanks = " \t\r\v\f";
    std::vector<std::string> fields;
    std::size_t at = line.find_first_not_of(blanks);
    if (at == std::string::npos) {
        return fields;
    }
    while (true) {
        const std::size_t end = std::min(line.find_first_of(" \t\r\v\f,;", at), line.size());
        fields.push_back(line.substr(at, end - at));
        at = std::min(line.find_first_not_of(blanks, end), line.size());
        const bool separated = at < line.size() && (line[at] == ',' || line[at] == ';');
        if (separated) {
            at = std::min(line.find_first_not_of(blanks, at + 1), line.size());
        }
        if (at == line.size()) {
            if (separated) {
                fields.emplace_back();  // a line that ends in a comma: the last value is missing
            }
            return fields;
        }
    }
}

inline bool is_number(const std::string& field, double& number) {
    char* stop = nullptr;
    number = std::strtod(field.c_str(), &stop);
    return !field.empty() && stop == field.c_str() + field.size();
}

// The first row of numbers; a first line without any number holds the columns' names and is passed over.
inline std::vector<double> read_row(const char* path) {
    const File file(std::fopen(path, "rb"), std::fclose);
    if (!file) {
        throw std::runtime_error("cannot read " + std::string(path) + ": " + std::strerror(errno));
    }
    std::string line;
    for (std::size_t number = 1; next_line(file.get(), line); ++number) {
        if (number == 1 && line.compare(0, 3, "\xEF\xBB\xBF") == 0) {
            line.erase(0, 3);  // the mark that some programs put before UTF-8
        }
        const std::vector<std::string> fields = fields_of(line);
        std::vector<double> row;
        std::string wrong;
        for (std::size_t column = 0; column < fields.size(); ++column) {
            double value = 0;
            if (is_number(fields[column], value)) {
                row.push_back(value);
            } else if (wrong.empty()) {
                wrong = "column " + std::to_string(column) + " (counted from 0) is no number";
            }
        }
        if (row.empty() && (number == 1 || fields.empty())) {
            continue;
        }
        const std::string place = "cannot read " + std::string(path) + ": line " + std::to_string(number);
        if (!wrong.empty()) {
            throw std::runtime_error(place + ", " + wrong);
        }
        if (row.size() != FEATURES) {
            throw std::runtime_error(place + " holds " + std::to_string(row.size()) + " numbers, the model takes " +
                                     std::to_string(FEATURES));
        }
        return row;
    }
    const char* reason = std::ferror(file.get()) != 0 ? std::strerror(errno) : "no row of numbers in it";
    throw std::runtime_error("cannot read " + std::string(path) + ": " + reason);
}

}  // namespace input

// The first row of a text file, its numbers apart by commas, semicolons or blanks: (feature - mean) / std.
inline std::vector<float> read_input(const char* path) {
    const std::vector<double> row = input::read_row(path);
    std::vector<float> sample(SAMPLE);
    for (std::size_t column = 0; column < SAMPLE; ++column) {
        const double feature = static_cast<float>(row[column]);  // as in training, where features are of 32 bits
        if (!std::isfinite(feature)) {
            throw std::runtime_error(std::string(path) + ": column " + std::to_string(column) +
                                     " (counted from 0) is not a finite number");
        }
        sample[column] = static_cast<float>((feature - MEAN[column]) / STD[column]);
    }
    return sample;
}
